"""Serves a request of a direct route, from its complete body to its answer, without ASGI's messages and middleware.

A direct route (`cellar.api.routes.direct`) is an ordinary route of the framework, with a plan that decodes its
parameters. A request that the plan cannot decode is given to the framework, which answers it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from cellar.api.errors.problems import internal_error, problem_of
from cellar.api.fast_http.request_head import ALIVE, PLAIN_HEADERS
from cellar.api.http.body import JSON, PROMPT_BYTES
from cellar.api.http.content_encoding import LEAST_BYTES, encoded
from cellar.api.http.negotiation import accepts_gzip
from cellar.api.http.path_segments import SEGMENT, name_in_target
from cellar.api.outcomes.middleware import CALLER
from cellar.api.outcomes.outcome import Outcome
from cellar.api.outcomes.request_id import NAME as REQUEST_ID
from cellar.api.outcomes.request_id import accepted
from cellar.errors import CellarError
from cellar.ports import Caller

logger = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]

Call = Callable[[], Awaitable[Response]]
"""Runs a decoded request."""

Bind = Callable[[Request, str, bytes], Call | None]
"""Decodes a request, the session in its path, and its body; returns None if the framework is to serve it."""

JSON_TYPE = b"content-type", JSON.encode()

LENGTH = b"content-length: %d\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """A route whose requests are served without ASGI."""

    method: bytes
    target: re.Pattern[bytes]
    """Matches the path, without a query; the group is the segment of the session, if there is one."""
    bind: Bind
    path: str
    """The path with placeholders."""


class DirectRoutes:
    """The table of direct routes, searched by the head of a request."""

    def __init__(self, routes: Sequence[DirectRoute] = (), app: Any = None) -> None:
        self._app = app
        self._routes: dict[bytes, list[DirectRoute]] = {}
        for route in routes:
            self._routes.setdefault(route.method, []).append(route)

    def find(self, method: bytes, target: bytes, headers: Headers, most_bytes: int) -> tuple[DirectRoute, str] | None:
        """Return the route of a request and the session that its path names, "" without one.

        Return None for any other request, one with headers that are not plain, or a body that is long or of unknown
        length.
        """
        for route in self._routes.get(method, ()):
            path = route.target.fullmatch(target)
            if path is None:
                continue
            sent = path[1].decode() if route.target.groups else ""
            session = name_in_target(sent) if "%" in sent else sent
            return None if session is None or not _is_plain(headers, most_bytes) else (route, session)
        return None

    def request(self, method: bytes, target: bytes, headers: Headers, caller: Caller) -> Request:
        """Return the request as endpoints take it, without its body."""
        path = target.decode("latin-1")
        scope = {"type": "http", "method": method.decode(), "path": path, "raw_path": target, "query_string": b""}
        return Request(scope | {"headers": headers, "app": self._app, "state": {}, CALLER: caller})


def _is_plain(headers: Headers, most_bytes: int) -> bool:
    by_name = dict(headers)
    length = by_name.get(b"content-length", b"0")
    return (
        len(by_name) == len(headers)
        and by_name.keys() <= PLAIN_HEADERS
        and by_name.get(b"connection", b"keep-alive").lower() in ALIVE
        and length.isdigit()
        and int(length) <= min(PROMPT_BYTES, most_bytes)
    )


def target_of(path: str) -> re.Pattern[bytes]:
    """Return the pattern of the targets of a route, in which only a session may stand.

    >>> target_of("/v1/sessions/{session}/state").fullmatch(b"/v1/sessions/abc/state")[1]
    b'abc'
    """
    return re.compile(path.replace("{session}", f"({SEGMENT.replace('(?=/)', '(?=/|$)')})").encode())


class _NoEvent:
    """The event that uvicorn sets when more is received; here everything has been received."""

    def set(self) -> None:
        """Do nothing."""


class DirectCycle:
    """A request of a direct route, in the place of uvicorn's cycle of request and response."""

    __slots__ = (
        *("_app", "_body", "_chunked", "_connection", "_head", "disconnected", "keep_alive", "pieces", "request"),
        *("problem", "request_id", "response_complete", "response_started", "route", "scope", "session", "_began_s"),
    )

    message_event = _NoEvent()

    def __init__(
        self, connection: Any, route: DirectRoute, request: Request, session: str, *, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.route = route
        self.request = request
        self.session = session
        self.scope = request.scope
        self.pieces: list[bytes] = []
        """The received pieces of the body."""
        self.keep_alive = keep_alive
        self.request_id = accepted(dict(self.scope["headers"]).get(REQUEST_ID))
        self.problem = ""
        """The name of the problem, if the request has failed."""
        self._began_s = monotonic()
        self.disconnected = self.response_complete = self.response_started = False
        self._body: bytes | None = None
        self._head: tuple[bytes, bytes] = b"", b""
        self._chunked = False

    async def run(self, call: Call, body: bytes) -> None:
        """Run the request, and write its answer."""
        try:
            response = await call()
        except CellarError as error:
            response = problem_of(error)
        except Exception as error:
            logger.error("in %s %s", self.scope["method"], self.scope["path"], exc_info=error)
            response = internal_error()
        self.problem = getattr(response, "slug", "")
        content = getattr(response, "body", None)
        if content is not None:
            await self._write(response, bytes(content))
            return
        self._body = body
        try:
            await response(self.scope, self._receive, self._send)
        except Exception as error:
            logger.error("in %s %s", self.scope["method"], self.scope["path"], exc_info=error)
            self._break_off()

    def outcome(self, status: int, request_id: str) -> Outcome:
        """Return the outcome of the request, which is answered with this status."""
        caller: Caller = self.scope[CALLER]
        duration_s, method = monotonic() - self._began_s, self.route.method.decode()
        of_request = (caller.tenant, self.session, duration_s, request_id)
        return Outcome("http", method, self.route.path, status, self.problem, *of_request)

    async def _write(self, response: Response, content: bytes) -> None:
        """Write an answer in one piece, compressed as `GzipAnswers` does."""
        headers = [pair for pair in response.raw_headers if pair[0] != b"content-length"]
        if JSON_TYPE in headers:
            content += b"\n"  # as `EndingNewlines` does
        if len(content) >= LEAST_BYTES and accepts_gzip(self.request.headers):
            start: Message = {"headers": headers}
            content = (await encoded(start, {"body": content}))["body"]
            headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        head = b"".join([b"%s: %s\r\n" % header for header in headers]) + LENGTH % len(content)
        self._connection.write(self, STATUS_LINE[response.status_code], head, content)

    async def _receive(self) -> Message:
        """Return the body once, and then that the client has left: nothing more is received."""
        body, self._body = self._body, None
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        """Write a part of an answer whose length is not known beforehand."""
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            lines = b"".join([b"%s: %s\r\n" % header for header in message["headers"]])
            self._head = STATUS_LINE[message["status"]], lines
            return
        content, more = message.get("body", b""), message.get("more_body", False)
        if not self.response_started:
            self.response_started = True
            status, lines = self._head
            if not more:
                self._connection.write(self, status, lines + LENGTH % len(content), content)
                return
            self._chunked = True
            self._connection.begin(self, status, lines + CHUNKED)
        chunk = b"%x\r\n%s\r\n" % (len(content), content) if content else b""
        self._connection.go_on(self, chunk if more else chunk + b"0\r\n\r\n", last=not more)
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()

    def _break_off(self) -> None:
        """End an answer that cannot be completed: with an error if it has not begun, else with the connection."""
        if not self.response_started:
            response = internal_error()
            self.problem = response.slug
            head = b"".join([b"%s: %s\r\n" % header for header in response.raw_headers])
            self._connection.write(self, STATUS_LINE[response.status_code], head, bytes(response.body))
        elif not self.response_complete:
            self.response_complete = True
            self._connection.transport.close()


def start(cycle: DirectCycle, call: Call, body: bytes, tasks: "set[asyncio.Task[None]]") -> None:
    """Begin to run a request in a task that the server waits for when it ends."""
    task = asyncio.get_running_loop().create_task(cycle.run(call, body))
    task.add_done_callback(tasks.discard)
    tasks.add(task)
