"""The open WebSockets of a process: the paths that have one, the access to them, and their end when it stops."""

import asyncio
import re
from typing import NamedTuple

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from cellar.api.dependencies import Services
from cellar.api.errors.problems import problem, problem_of
from cellar.api.http.conventions import path_of
from cellar.api.http.path_segments import name_of
from cellar.api.http.query_and_headers import check_query
from cellar.api.middleware.access import Access
from cellar.api.middleware.authentication import STREAM_SCOPE, TICKET, Authenticator, check_scope
from cellar.api.websocket.close_codes import KEY_ENDED, STOPPING, closing_of
from cellar.api.websocket.connection.interface import Connection
from cellar.api.websocket.socket import DeferredWrites, Socket
from cellar.errors import CellarError, MalformedRequest
from cellar.ports import Caller, is_name

PATH = re.compile(r"/v1/(?:sessions/([^/]+)/)?stream")


class Streams:
    """The streams of a process.

    `window` is the number of steps of a session that may be in flight on a socket: as many as can be replayed, so that
    a client can learn the outcome of each after its connection was lost. Messages have at most `max_bytes`, as bodies.
    """

    def __init__(
        self, services: Services, access: Access, authenticator: Authenticator, *, window: int, max_bytes: int
    ) -> None:
        self._services = services
        self._access = access
        self._authenticator = authenticator
        self._window = window
        self._max_bytes = max_bytes
        self._deferred = DeferredWrites()
        self.sockets: set[Socket] = set()
        """The open sockets."""
        self._closed = asyncio.Event()
        self._stopping = False

    def refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a handshake for a path that has no stream, None for a path that has one."""
        try:
            if _stream_of(scope) is not None:
                return None
        except MalformedRequest as error:
            return problem_of(error)
        sent = scope["raw_path"].decode()
        detail = f"there is no stream at {sent}: they are /v1/stream and /v1/sessions/{{session}}/stream"
        return problem(404, "not_found", "Not Found", detail)

    async def serve(self, scope: Scope, connection: Connection) -> None:
        """Serve a connection until it is closed. Its handshake is over."""
        try:
            caller = self._admit(HTTPConnection(scope))
        except CellarError as error:
            return await connection.close(closing_of(error))
        if self._stopping:
            return await connection.close(STOPPING)
        stream = _stream_of(scope)
        assert stream is not None
        limits = {"window": self._window, "max_bytes": self._max_bytes}
        socket = Socket(self._services, caller, stream.session, connection, self._deferred, **limits)
        self.sockets.add(socket)
        try:
            with self._authenticator.credentials.watch(caller) as ended:
                ended.add_done_callback(lambda _: socket.end(KEY_ENDED))
                return await socket.run()
        finally:
            self.sockets.discard(socket)
            self._closed.set()

    async def stop(self) -> None:
        """Stop reading, answer the steps in flight, tell each client where to resume, and close."""
        self._stopping = True
        for socket in self.sockets:
            socket.end(STOPPING)
        while self.sockets:
            self._closed.clear()
            await self._closed.wait()

    def _admit(self, request: HTTPConnection) -> Caller:
        """Return the caller of a stream. Raise the error if it may not be opened."""
        self._access.check(request.headers, safe=False)
        check_query(request, (TICKET,))
        caller = self._authenticator.caller(request.scope["headers"], request.scope["query_string"])
        check_scope(caller, STREAM_SCOPE)
        return caller


class _Stream(NamedTuple):
    """A path that has a stream: of one session, or of many if `session` is None."""

    session: str | None


def _stream_of(scope: Scope) -> _Stream | None:
    """Return the stream of a path, None if it has none. Raise MalformedRequest."""
    path = PATH.fullmatch(path_of(scope))
    if path is None:
        return None
    name = None if path[1] is None else name_of(path[1])
    return _Stream(name) if name is None or is_name(name) else None
