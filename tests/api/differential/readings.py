"""A reading: which requests a reader finds in a stream of bytes, and how the stream ends."""

from dataclasses import dataclass, field
from enum import Enum

from cellar.api.fast_http.request_head import Head, read_head
from cellar.ports import ANYBODY

Headers = list[tuple[bytes, bytes]]

MOST_BODY_BYTES = 1 << 20


class End(Enum):
    """How a stream ends."""

    CLEAN = "behind a whole request"
    CUT = "inside a request"
    REFUSED = "refused"
    CLOSED = "closed behind a request, as that asked for; what follows is not read"
    UPGRADED = "becomes a WebSocket"


@dataclass
class Request:
    """One request that is run; of one that was taken as a step, what it says is known as a `head`."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes = b""
    head: Head | None = None

    def is_same(self, other: "Request") -> bool:
        """Return whether another reader has found the same request; `self` may know a head alone."""
        if self.method != other.method or self.body != other.body:
            return False
        if self.head is not None:
            return self.head == read_head(other.target, other.headers, MOST_BODY_BYTES, ANYBODY)
        return self.target == other.target and _plain(self.headers) == _plain(other.headers)


def _plain(headers: Headers) -> Headers:
    """Return headers with what has no case in small letters, as h11 returns it."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]


@dataclass
class Reading:
    """What a reader finds in a stream."""

    requests: list[Request] = field(default_factory=list)
    end: End = End.CLEAN
    or_end: End | None = None
    """How else it may end, where that depends on when the bytes come."""
    why: str = ""

    def is_same(self, other: "Reading") -> bool:
        """Return whether another reader has found the same requests, in the same order, and the same end."""
        pairs = zip(self.requests, other.requests, strict=False)
        alike = len(self.requests) == len(other.requests) and all(mine.is_same(theirs) for mine, theirs in pairs)
        return alike and self.end in (other.end, other.or_end)
