"""Content negotiation: the media type and the encoding of an answer, by the rules of weights in RFC 9110."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers

from cellar.api.limits.memoize import memoized
from cellar.errors import NotAcceptable

WEIGHT = re.compile(r"[qQ]\s*=\s*(0(\.\d{0,3})?|1(\.0{0,3})?)")

Ranges = dict[str, float]
"""Media ranges or encodings in lower case, with their weights: from 0, not accepted, to 1."""


def answer_type(headers: Headers, offered: tuple[str, ...]) -> str:
    """Return the offered type with the greatest weight in the request, the first if it has no Accept header.

    Of equal weights the type that is named most exactly counts, then the one offered first. Raise NotAcceptable.
    """
    accept = ",".join(headers.getlist("accept"))
    found = offered[0] if not accept.strip() else _choose(accept, offered)
    if found is None:
        raise NotAcceptable(f"this is answered as {' or '.join(offered)}")
    return found


def accepts_gzip(headers: Headers) -> bool:
    """Return whether an answer may be encoded as gzip."""
    return _wants_gzip(headers.get("accept-encoding", ""))


@memoized
def _wants_gzip(accept_encoding: str) -> bool:
    ranges = _ranges(accept_encoding)
    return ranges.get("gzip", ranges.get("x-gzip", ranges.get("*", 0.0))) > 0


@memoized
def _choose(accept: str, offered: Sequence[str]) -> str | None:
    ranges = _ranges(accept)
    wants = [_want(kind, ranges) for kind in offered]
    best = max(wants)
    return offered[wants.index(best)] if best[0] > 0 else None


def _want(kind: str, ranges: Ranges) -> tuple[float, int]:
    """Return the weight of a type, and how exactly it is named: the most exact range that matches it counts."""
    for exactness, name in ((2, kind), (1, kind.partition("/")[0] + "/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], exactness
    return 0.0, 0


def _ranges(header: str) -> Ranges:
    found: Ranges = {}
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights = [WEIGHT.fullmatch(parameter) for parameter in parameters if parameter[:1] in ("q", "Q")]
        if name and None not in weights:  # a range with an invalid weight is ignored
            found[name.lower()] = float(weights[0][1]) if weights and weights[0] else 1.0
    return found
