"""The open WebSockets of a process: the paths that have one, the access to them, and their end when it stops."""

import asyncio
import re
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from cellar.api.dependencies import Services
from cellar.api.errors.problems import problem, problem_of, status_of
from cellar.api.http.conventions import path_of
from cellar.api.http.path_segments import name_of
from cellar.api.http.query_and_headers import check_query
from cellar.api.middleware.access import Access
from cellar.api.middleware.authentication import STREAM_SCOPE, TICKET, Authenticator, check_scope
from cellar.api.outcomes.outcome import Outcome, Outcomes
from cellar.api.outcomes.request_id import NAME as REQUEST_ID
from cellar.api.outcomes.request_id import accepted
from cellar.api.websocket.close_codes import KEY_ENDED, STOPPING, closing_of
from cellar.api.websocket.connection.interface import Connection
from cellar.api.websocket.socket import STREAM, STREAM_OF_SESSION, DeferredWrites, Socket
from cellar.errors import CellarError, MalformedRequest, QuotaExceeded, StoreUnavailable, Unauthenticated
from cellar.ports import Caller, is_name

PATH = re.compile(r"/v1/(?:sessions/([^/]+)/)?stream")


class Streams:
    """The streams of a process.

    `window` is the number of steps of a session that may be in flight on a socket: as many as can be replayed, so that
    a client can learn the outcome of each after its connection was lost. Messages have at most `max_bytes`, as bodies.
    """

    def __init__(
        self,
        services: Services,
        access: Access,
        authenticator: Authenticator,
        *,
        window: int,
        max_bytes: int,
        outcomes: Outcomes,
    ) -> None:
        self._services = services
        self._quotas = services.quotas
        self._outcomes = outcomes
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
        """Return the answer to a handshake that is refused: for a path without a stream, or one stream too many."""
        try:
            if _stream_of(scope) is not None:
                self._check_quota(scope)
                return None
            sent = scope["raw_path"].decode()
            detail = f"there is no stream at {sent}: they are {STREAM} and {STREAM_OF_SESSION}"
            answer = problem(404, "not_found", "Not Found", detail)
        except (MalformedRequest, QuotaExceeded) as error:
            answer = problem_of(error)
        self._report(scope, answer.status_code, answer.slug)
        return answer

    async def serve(self, scope: Scope, connection: Connection) -> None:
        """Serve a connection until it is closed. Its handshake is over."""
        try:
            caller = self._admit(HTTPConnection(scope))
        except CellarError as error:
            self._report(scope, status_of(type(error)), error.slug)
            return await connection.close(closing_of(error))
        if self._stopping:
            return await connection.close(STOPPING)
        stream = _stream_of(scope)
        assert stream is not None
        socket = Socket(
            self._services,
            caller,
            stream.session,
            connection,
            self._deferred,
            window=self._window,
            max_bytes=self._max_bytes,
            outcomes=self._outcomes,
        )
        self.sockets.add(socket)
        began_s = monotonic()
        try:
            of_tenant = self._quotas.counted(caller.tenant, "streams")
            with of_tenant, self._authenticator.credentials.watch(caller) as ended:
                ended.add_done_callback(lambda _: socket.end(KEY_ENDED))
                return await socket.run()
        finally:
            self.sockets.discard(socket)
            if self._outcomes.wants_all:
                self._report(scope, 101, "", caller, monotonic() - began_s)
            self._closed.set()

    async def stop(self) -> None:
        """Stop reading, answer the steps in flight, tell each client where to resume, and close."""
        self._stopping = True
        for socket in self.sockets:
            socket.end(STOPPING)
        while self.sockets:
            self._closed.clear()
            await self._closed.wait()

    def _check_quota(self, scope: Scope) -> None:
        """Raise QuotaExceeded if the tenant has too many streams. Without valid credentials `serve` refuses it."""
        if not self._quotas.limits_connections:
            return
        with suppress(Unauthenticated, StoreUnavailable):
            caller = self._authenticator.caller(scope["headers"], scope["query_string"])
            self._quotas.check(caller.tenant, "streams")

    def _report(
        self, scope: Scope, status: int, problem: str, caller: Caller | None = None, duration_s: float = 0.0
    ) -> None:
        """Report a handshake that was refused, or a stream that has ended."""
        found = PATH.fullmatch(scope["path"])
        route = "" if found is None else STREAM if found[1] is None else STREAM_OF_SESSION
        sent = dict(scope["headers"]).get(REQUEST_ID)
        tenant, session = "" if caller is None else caller.tenant, "" if found is None else found[1] or ""
        of_request = (tenant, session, duration_s, accepted(sent) or "")
        self._outcomes.note(Outcome("websocket", "GET", route, status, problem, *of_request))

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
