"""The heads of requests for steps, as the protocol takes them by itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from starlette.datastructures import Headers as MediaHeaders
from starlette.requests import Request

from cellar.api.decoding.step_fast_json import read_step
from cellar.api.decoding.step_input import Asked, sequence_of_json, sequence_of_npy, step_of_npy
from cellar.api.http.body import JSON, PROMPT_BYTES, body_type, validated
from cellar.api.http.negotiation import answer_type
from cellar.api.http.query_and_headers import TIMEOUT, deadline_s, read_query, refuse_query
from cellar.api.limits.memoize import remembered
from cellar.api.schemas.names import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_PATTERN
from cellar.api.schemas.session.sessions import SequenceQuery, SequenceRequest, StepQuery
from cellar.errors import InvalidParameter, NotAcceptable, UnsupportedMediaType
from cellar.ports import NAME, Caller
from cellar.wire.arrays import npy
from cellar.wire.json.document import decode

TYPES = (JSON, npy.MEDIA_TYPE)
"""Of bodies and of answers."""

PROMPT_NPY_BYTES = 1024 * 1024
"""As PROMPT_BYTES, for numbers that only need to be looked at."""

KEY_HEADER, TIMEOUT_HEADER = IDEMPOTENCY_KEY.lower().encode(), TIMEOUT.lower().encode()

PLAIN_HEADERS = frozenset(
    (
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length", b"connection"),
        *(KEY_HEADER, TIMEOUT_HEADER),
    )
)
"""What HTTP clients send by themselves, and what steps are asked for with. Any other may ask for something."""

ALIVE = (b"keep-alive", b"close")
"""What a Connection header says that asks for no other protocol."""

URL = re.compile(rb"/v1/sessions/(%s)/(step|sequence)(?:\?([^#]*))?" % NAME.encode())
KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


Headers = Sequence[tuple[bytes, bytes]]

NO_QUERY = SequenceQuery()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a head says beside whose steps these are."""

    sequence: bool
    reads: str
    """The type of the body."""
    wants: str
    """The type of the answer."""
    query: StepQuery
    """What stands beside an npy body."""
    within_s: float | None
    """In how many seconds the request must begin to run."""
    caller: Caller
    """Who asks."""

    @property
    def output(self) -> Literal["output", "outputs"]:
        """Return what a JSON answer calls the outputs."""
        return "outputs" if self.sequence else "output"

    @property
    def most_bytes(self) -> int:
        """How long a body may be that is read at once."""
        return PROMPT_BYTES if self.reads == JSON else PROMPT_NPY_BYTES

    def read(self, body: bytes, key: str | None) -> Asked:
        """Return what the body asks for; `key` is its Idempotency-Key.

        Raise MalformedJson, MalformedBody or InvalidInput.
        """
        if not self.sequence:
            return read_step(body, key) if self.reads == JSON else step_of_npy(body, self.query, key)
        if self.reads == JSON:
            return sequence_of_json(validated(SequenceRequest, decode(body)), key)
        assert isinstance(self.query, SequenceQuery)
        return sequence_of_npy(body, self.query, key)


class Head(NamedTuple):
    """Whose steps are asked for, and on which terms."""

    session: str
    key: str | None
    terms: Terms


def read_head(url: bytes, headers: Headers, most_bytes: int, caller: Caller) -> Head | None:
    """Return what the head of a POST of this caller asks for; names of headers are in lower case.

    None if it asks for anything else, is at fault, or has a body of over `most_bytes`.
    """
    path, said = URL.fullmatch(url), dict(headers)
    if path is None or len(said) != len(headers) or not said.keys() <= PLAIN_HEADERS:
        return None
    types = _types(said.get(b"content-type", b""), said.get(b"accept", b""))
    if types is None or said.get(b"connection", b"keep-alive").lower() not in ALIVE:
        return None
    key = said.get(KEY_HEADER)
    if key is not None and not KEY.fullmatch(key.decode("latin-1")):
        return None
    terms = _terms(path[2] == b"sequence", *types, path[3] or b"", said, caller)
    length = said.get(b"content-length", b"")
    if terms is None or not length.isdigit() or int(length) > min(terms.most_bytes, most_bytes):
        return None
    return Head(path[1].decode(), None if key is None else key.decode(), terms)


@remembered
def _types(content_type: bytes, accept: bytes) -> tuple[str, str] | None:
    """Return the types of the body and of the answer, None for one that is not had."""
    try:
        wanted = answer_type(MediaHeaders(raw=[(b"accept", accept)]), TYPES)
        return body_type(content_type.decode("latin-1"), *TYPES), wanted
    except (UnsupportedMediaType, NotAcceptable):
        return None


def _terms(
    sequence: bool, reads: str, wants: str, query: bytes, said: dict[bytes, bytes], caller: Caller
) -> Terms | None:
    if sequence and wants == JSON:  # long ones may be encoded, and are written by a thread
        return None
    beside: StepQuery = NO_QUERY
    within_s = None
    if query or TIMEOUT_HEADER in said:
        request = Request({"type": "http", "headers": list(said.items()), "query_string": query})
        try:
            within_s = deadline_s(request)
            if reads == JSON:
                refuse_query(request)
            elif query:
                beside = read_query(SequenceQuery if sequence else StepQuery, request)
        except InvalidParameter:
            return None
    return Terms(sequence, reads, wants, beside, within_s, caller)
