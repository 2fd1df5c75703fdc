"""Effects that operations ask their driver to perform: generators yield them and are sent their results.

A driver performs each effect, blocking or awaiting, and throws ConnectionLost or StreamClosed into the operation when
the network fails. Nothing in this package opens a socket or reads a clock.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to be sent. The result is a Reply; ConnectionLost is thrown if there is none."""

    method: str
    path: str
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an HTTP request."""

    status: int
    headers: Mapping[str, str]
    """By lower-case names."""
    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in seconds. The result is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Connect:
    """A WebSocket to be opened in place of the present one. The result is None."""

    path: str


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A binary message to be sent on the WebSocket. The result is None."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """The next message of the WebSocket, which is the result: text or bytes."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The WebSocket to be closed, if it is open. The result is None."""


Effect = Request | Pause | Connect | SendMessage | Receive | Disconnect

Operation = Generator[Effect, Any, Result]


class ConnectionLost(Exception):
    """The connection could not be made, or broke before the answer was complete."""


class StreamClosed(ConnectionLost):
    """The service has closed the WebSocket with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
