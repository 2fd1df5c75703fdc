"""The handshake of a WebSocket: reads its request and answers it (RFC 6455, section 4)."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Scope
from websockets.http11 import Request
from websockets.http11 import Response as Answer
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from cellar.api.errors.problems import MEDIA_TYPE, problem, problem_of
from cellar.api.middleware.authentication import SUBPROTOCOL
from cellar.api.websocket.connection.interface import StreamServer
from cellar.errors import HeadTooLarge, MalformedRequest


class _Parser(ServerProtocol):
    """The parser of the library, whose refusals of a handshake are problem documents."""

    def send_response(self, response: Answer) -> None:
        """Send the answer to a handshake."""
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS and response.headers["Content-Type"] != MEDIA_TYPE:
            _set_problem(response, _problem_of(response))
        super().send_response(response)


def new_parser(most_bytes: int) -> ServerProtocol:
    """Return the parser of a connection whose messages have at most `most_bytes`."""
    return _Parser(max_size=most_bytes, select_subprotocol=_chosen)


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
            response = parser.reject(refusal.status_code, "")
            _set_problem(response, refusal)
        parser.send_response(response)
        return scope if is_accepted and refusal is None else None
    return None


def _set_problem(response: Answer, problem: Response) -> None:
    """Make a problem document of an answer to a handshake."""
    response.body, response.status_code = bytes(problem.body), problem.status_code
    response.reason_phrase = HTTPStatus(problem.status_code).phrase
    for name in ("Content-Length", "Content-Type", "Retry-After"):
        if name in problem.headers:
            response.headers.pop(name, None)
            response.headers[name] = problem.headers[name]


def _problem_of(response: Answer) -> Response:
    """Return a refusal of the parser as a problem document."""
    status, detail = HTTPStatus(response.status_code), bytes(response.body or b"").decode().strip()
    if status in (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG):
        return problem_of(HeadTooLarge(detail))
    if status is HTTPStatus.BAD_REQUEST:
        return problem_of(MalformedRequest(detail))
    return problem(status, status.name.lower(), status.phrase, detail)


def _scope_of(request: Request) -> Scope:
    """Return the request as an ASGI scope, with the members that are used."""
    path, _, query = request.path.partition("?")
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
    raw, sent = path.encode(errors="replace"), query.encode(errors="replace")
    return {"type": "websocket", "path": unquote(path), "raw_path": raw, "query_string": sent, "headers": headers}
