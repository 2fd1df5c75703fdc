"""The handshake of a WebSocket: reads its request and answers it (RFC 6455, section 4)."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote

from starlette.types import Scope
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from cellar.api.middleware.authentication import SUBPROTOCOL
from cellar.api.websocket.connection.interface import StreamServer


def new_parser(most_bytes: int) -> ServerProtocol:
    """Return the parser of a connection whose messages have at most `most_bytes`."""
    return ServerProtocol(max_size=most_bytes, select_subprotocol=_chosen)


def _chosen(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return our subprotocol if a client offers it. Browsers end a connection whose offers are all refused."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def shake_hands(parser: ServerProtocol, data: bytes, streams: StreamServer) -> Scope | None:
    """Let the parser answer the request in `data`. Return its scope if it is accepted, None if it is refused."""
    parser.receive_data(data)
    for request in parser.events_received():  # none if its head is too long for the parser
        assert isinstance(request, Request)
        response, scope = parser.accept(request), _scope_of(request)
        is_accepted = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        refusal = streams.refusal(scope) if is_accepted else None
        if refusal is not None:
            response = parser.reject(refusal.status_code, bytes(refusal.body).decode())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = refusal.headers["Content-Type"]
            if "Retry-After" in refusal.headers:
                response.headers["Retry-After"] = refusal.headers["Retry-After"]
        parser.send_response(response)
        return scope if is_accepted and refusal is None else None
    return None


def _scope_of(request: Request) -> Scope:
    """Return the request as an ASGI scope, with the members that are used."""
    path, _, query = request.path.partition("?")
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
    raw, sent = path.encode(errors="replace"), query.encode(errors="replace")
    return {"type": "websocket", "path": unquote(path), "raw_path": raw, "query_string": sent, "headers": headers}
