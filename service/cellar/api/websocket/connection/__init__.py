"""WebSocket connections below the messages: the handshake, frames, keep-alive and the close of a connection."""
