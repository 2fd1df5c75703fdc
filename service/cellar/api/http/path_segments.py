"""Percent-encoding in paths: a name may have slashes, so a path is split into segments before it is decoded.

Routes match paths whose segments are decoded, except that a slash inside a segment stays `%2F`, a line feed `%0A` and
a percent sign `%25`. So each segment is one, and `name_of` returns the name that it stands for. A line feed may not be
in the path, because `$` at the end of the framework's patterns matches before it: `/v1/keys%0A` would be served as
`/v1/keys`, by a pattern that is another one than that of its scope.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from cellar.errors import MalformedRequest
from cellar.ports import MOST_NAME_BYTES, is_name, names_of

_NO_CODE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_PLAIN, _PLAIN_NO_DOT = r"""[!"$&-.0->@-~]""", r"""[!"$&-\-0->@-~]"""
"""Printable ASCII except `#`, `%`, `/` and `?`; the second without the dot."""

_WHOLE = names_of(_PLAIN, _PLAIN_NO_DOT, MOST_NAME_BYTES)
_ENCODED = rf"""(?={_PLAIN}*%)[!"$-.0->@-~]{{1,{3 * MOST_NAME_BYTES}}}"""

SEGMENT = rf"(?:{_WHOLE}(?=/)|{_ENCODED}(?=/))"
"""The segment of a name in the target of a request. Without a percent sign it is a name as it stands."""


def routed_path(raw: str) -> str:
    """Return the path that routes match. Raise MalformedRequest if it is not percent-encoded UTF-8.

    >>> routed_path("/v1/sessions/site%2F1%2Ftemp/step"), routed_path("/v1/models/co2%403")
    ('/v1/sessions/site%2F1%2Ftemp/step', '/v1/models/co2@3')
    """
    return "/".join([_kept(_decoded(part)) for part in raw.split("/")])


def name_of(segment: str) -> str:
    """Return the name in a segment of a routed path.

    >>> name_of("site%2F1%2Ftemp"), name_of("100%25")
    ('site/1/temp', '100%')
    """
    return segment.replace("%2F", "/").replace("%0A", "\n").replace("%25", "%") if "%" in segment else segment


@lru_cache(maxsize=4096)
def name_in_target(segment: str) -> str | None:
    """Return the name that a segment of a request's target stands for, None if it is no name."""
    try:
        name = _decoded(segment)
    except MalformedRequest:
        return None
    return name if is_name(name) else None


def session_path(session: str, *rest: str) -> str:
    """Return the path of a session, or of something below it, as a `Location`.

    >>> session_path("site/1/temp", "snapshots", "noon"), session_path("aa:bb:cc")
    ('/v1/sessions/site%2F1%2Ftemp/snapshots/noon', '/v1/sessions/aa:bb:cc')
    """
    return "/".join(("/v1/sessions", *(quote(part, safe=":@") for part in (session, *rest))))


def _kept(decoded: str) -> str:
    return decoded.replace("%", "%25").replace("/", "%2F").replace("\n", "%0A")


def _decoded(segment: str) -> str:
    if _NO_CODE.search(segment):
        raise MalformedRequest("a % in the path is not followed by two hexadecimal digits: a percent sign is %25")
    try:
        return unquote_to_bytes(segment.encode("ascii")).decode()
    except UnicodeError:
        raise MalformedRequest("the path is not UTF-8 in percent-encoding") from None
