"""Converts exceptions of httpx and websockets to errors for operations; the same for both clients."""

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from cellar_client.core.effects import ConnectionLost, Reply, StreamClosed
from cellar_client.core.exchange import problem_of
from cellar_client.errors import Unavailable

HTTP_ERRORS = (httpx.TransportError,)
SOCKET_ERRORS = (WebSocketException, OSError, EOFError)
"""Exceptions that operations receive as ConnectionLost; TimeoutError is an OSError."""


def http_lost(error: Exception) -> ConnectionLost:
    """Return the error to throw for a request without an answer."""
    return ConnectionLost(f"{type(error).__name__}: {error}")


def socket_lost(error: Exception) -> ConnectionLost:
    """Return the error to throw for a WebSocket that failed. Raise Problem if the service has refused to open it."""
    if isinstance(error, InvalidStatus) and error.response.status_code >= 300:
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        problem = problem_of(Reply(response.status_code, headers, bytes(response.body or b"")))
        if not isinstance(problem, Unavailable):
            raise problem from error
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        return StreamClosed(error.rcvd.code, error.rcvd.reason)
    return ConnectionLost(f"{type(error).__name__}: {error}")
