"""Protocols (abstract interfaces) between a WebSocket connection and the socket that handles its messages."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from starlette.responses import Response
from starlette.types import Scope

from cellar.api.websocket.close_codes import Closing

TEXT, BINARY = 0x81, 0x82
"""Kinds of messages, as the first byte of a frame that is a whole message gives them."""

Message = tuple[int, bytes]
"""A kind and a payload."""


class Listener(Protocol):
    """Receives the messages of a connection. Its methods raise nothing."""

    def take(self, payload: bytes, kind: int) -> bool:
        """Take a message. Return whether the next one may follow; if not, it follows after `Connection.resume`."""

    def together(self) -> AbstractContextManager[None]:
        """Return a context in which messages are taken that were received together."""

    def lost(self) -> None:
        """The connection was lost, or the client has closed it."""

    def eased(self) -> None:
        """The connection is not `full` any more."""


class NoListener:
    """A listener that ignores everything, for a connection without another."""

    def take(self, _payload: bytes, _kind: int) -> bool:
        """Drop a message."""
        return False

    def together(self) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def lost(self) -> None:
        """Do nothing."""

    def eased(self) -> None:
        """Do nothing."""


class Connection(Protocol):
    """One WebSocket after its handshake."""

    @property
    def full(self) -> bool:
        """Whether the client reads answers more slowly than they are written. More may be written nevertheless."""

    def open(self, listener: Listener) -> None:
        """Set the listener. It gets messages after the first `resume`."""

    def resume(self) -> None:
        """Let the listener have messages."""

    def write(self, messages: Sequence[Message]) -> None:
        """Write messages, unless the connection is closed."""

    async def close(self, closing: Closing) -> None:
        """Send a close frame after all that was written, unless the connection was lost."""

    def end(self) -> None:
        """Release the listener."""


class StreamServer(Protocol):
    """Serves WebSockets on connections of any kind. Of an ASGI scope it reads the path, the query and the headers."""

    def refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a handshake for a path that has no stream, None for a path that has one."""

    async def serve(self, scope: Scope, connection: Connection) -> None:
        """Serve a connection until it is closed. Its handshake is over."""
