"""The connection of a WebSocket: handshake, frames, keep-alive and close, and the interface that passes messages."""
