"""The WebSocket protocol of the server: uvicorn's on `websockets`, the fastest that it brings (docs/streams.md)."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PING_S = 20.0
"""Between pings, and how long a client may take to answer one: shorter than what usual proxies wait for a sign."""

LINGER_S = 1.0
"""What a client that answers no ping gets to take the close frame."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """Gives up clients that have vanished.

    Closing a connection waits until all is written, and a client that reads nothing lets nothing be written: what
    waits for it would wait for as long as the system believes in the connection.
    """

    def keepalive_timeout(self) -> None:
        """Say why, close, and shortly after give up the connection."""
        super().keepalive_timeout()
        self.loop.call_later(LINGER_S, self.transport.abort)
