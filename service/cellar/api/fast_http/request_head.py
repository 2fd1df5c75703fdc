"""Reads the heads of plain steps, and decides which requests are served without ASGI."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.datastructures import Headers as MediaHeaders
from starlette.requests import Request

from cellar.api.decoding.steps.step_body import NO_QUERY, TYPES, Decoder, Kind, decoder_of, query_of
from cellar.api.http.body import JSON, PROMPT_BYTES, body_type
from cellar.api.http.negotiation import answer_type
from cellar.api.http.path_segments import SEGMENT, name_in_target
from cellar.api.http.query_and_headers import TIMEOUT, deadline_s
from cellar.api.limits.memoize import memoized
from cellar.api.outcomes.request_id import NAME as REQUEST_ID
from cellar.api.outcomes.request_id import accepted
from cellar.api.schemas.names import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_PATTERN
from cellar.api.schemas.session.steps import StepQuery
from cellar.errors import InvalidParameter, NotAcceptable, UnsupportedMediaType
from cellar.ports import Caller

PROMPT_NPY_BYTES = 1024 * 1024
"""As PROMPT_BYTES, for npy, whose numbers are only checked."""

KEY_HEADER, TIMEOUT_HEADER = IDEMPOTENCY_KEY.lower().encode(), TIMEOUT.lower().encode()

PLAIN_HEADERS = frozenset(
    (
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length", b"connection"),
        *(b"authorization", KEY_HEADER, TIMEOUT_HEADER, REQUEST_ID),
    )
)
"""Headers that HTTP clients send by default, and those of steps. Any other may change what the request means."""

ALIVE = (b"keep-alive", b"close")
"""Values of a Connection header that ask for no other protocol."""

URL = re.compile(rb"/v1/sessions/(%s)/(step|sequence)(?:\?([^#]*))?" % SEGMENT.encode())
KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Terms:
    """The options in a head: everything except the session."""

    kind: Kind
    reads: str
    """The type of the body."""
    wants: str
    """The type of the answer."""
    query: StepQuery
    """The query of an npy body."""
    within_s: float | None
    """The seconds within which the request must begin to run, None if it may wait."""
    caller: Caller
    """The client that has sent the head."""
    decode: Decoder = field(init=False, compare=False)
    """Reads the body."""

    def __post_init__(self) -> None:
        """Look up the decoder, once for all requests with this head."""
        object.__setattr__(self, "decode", decoder_of(self.kind, self.reads, self.query))

    @property
    def most_bytes(self) -> int:
        """How long a body may be that is read at once."""
        return PROMPT_BYTES if self.reads == JSON else PROMPT_NPY_BYTES


class Head(NamedTuple):
    """Whose steps are asked for, and on which terms."""

    session: str
    key: str | None
    terms: Terms
    request_id: str | None = None


def read_head(url: bytes, headers: Headers, most_bytes: int, caller: Caller) -> Head | None:
    """Return the parsed head of a plain step of this caller. Names of headers must be in lower case.

    Return None for any other request, a faulty one, or one with a body of over `most_bytes`.
    """
    path, by_name = URL.fullmatch(url), dict(headers)
    sent = "%" if path is None else path[1].decode()
    session = name_in_target(sent) if "%" in sent else sent
    if path is None or session is None or len(by_name) != len(headers) or not by_name.keys() <= PLAIN_HEADERS:
        return None
    types = _types(by_name.get(b"content-type", b""), by_name.get(b"accept", b""))
    if types is None or by_name.get(b"connection", b"keep-alive").lower() not in ALIVE:
        return None
    key = by_name.get(KEY_HEADER)
    if key is not None and not KEY.fullmatch(key.decode("latin-1")):
        return None
    terms = _terms("sequence" if path[2] == b"sequence" else "step", *types, path[3] or b"", by_name, caller)
    length = by_name.get(b"content-length", b"")
    if terms is None or not length.isdigit() or int(length) > min(terms.most_bytes, most_bytes):
        return None
    return Head(session, None if key is None else key.decode(), terms, accepted(by_name.get(REQUEST_ID)))


@memoized
def _types(content_type: bytes, accept: bytes) -> tuple[str, str] | None:
    """Return the types of the body and of the answer, None for one that is not had."""
    try:
        wanted = answer_type(MediaHeaders(raw=[(b"accept", accept)]), TYPES)
        return body_type(content_type.decode("latin-1"), *TYPES), wanted
    except (UnsupportedMediaType, NotAcceptable):
        return None


def _terms(
    kind: Kind, reads: str, wants: str, query: bytes, by_name: dict[bytes, bytes], caller: Caller
) -> Terms | None:
    if kind == "sequence" and wants == JSON:  # long ones may be encoded, and are written by a thread
        return None
    beside: StepQuery = NO_QUERY
    within_s = None
    if query or TIMEOUT_HEADER in by_name:
        request = Request({"type": "http", "headers": list(by_name.items()), "query_string": query})
        try:
            within_s = deadline_s(request)
            if query:
                beside = query_of(kind, reads, request)
        except InvalidParameter:
            return None
    return Terms(kind, reads, wants, beside, within_s, caller)
