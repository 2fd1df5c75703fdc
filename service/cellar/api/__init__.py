"""The HTTP and WebSocket interface: routes, schemas and problem documents. The only package that imports FastAPI."""
