"""Effects that operations ask their driver to perform: generators yield them and are sent their results.

A driver performs each effect, blocking or awaiting, and throws ConnectionLost or StreamClosed into the operation when
the network fails. Nothing in this package opens a socket or reads a clock.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")

Content = bytes | Callable[[], Iterator[bytes]]
"""The body of a request: bytes, or a function that returns its parts from the beginning each time it is called."""


@dataclass(slots=True)
class Request:
    """An HTTP request to be sent. The result is a Reply; ConnectionLost is thrown if there is none."""

    method: str
    path: str
    content: Content = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
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
    """A WebSocket to be opened in place of the present channel. The result is None."""

    path: str


@dataclass(frozen=True, slots=True)
class Open:
    """An HTTP request whose answer becomes the present channel. The result is a Reply with the content of an error."""

    request: Request


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A binary message to be sent on the WebSocket. The result is None."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """The next message of the WebSocket, text or bytes, or the next part of an HTTP answer, b"" at its end."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The channel to be closed, if it is open. The result is None."""


@dataclass(frozen=True, slots=True)
class Emit(Generic[Item]):
    """An item for the caller, who iterates over an emission. The result is None."""

    item: Item


Effect = Request | Pause | Connect | Open | SendMessage | Receive | Disconnect

Operation = Generator[Effect, Any, Result]
"""A generator whose result the caller receives."""

Emission = Generator[Effect | Emit[Item], Any, None]
"""A generator whose items the caller iterates over."""


class ConnectionLost(Exception):
    """The connection could not be made, or broke before the answer was complete."""


class StreamClosed(ConnectionLost):
    """The service has closed the WebSocket with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
