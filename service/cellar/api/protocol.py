"""The plain step, answered where its bytes come in: JSON in, JSON out, and no header that asks for more.

Most requests are plain steps, and of the time that one takes in the process most went into a scope, a task, two
messages each way and the layers of a framework. This protocol is uvicorn's own, but for them: it reads, checks and
answers them by the functions that every other step goes through, and waits for the answer by a callback. Whatever is
not plainly a step of this form goes uvicorn's way, to the same answer.
"""

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cellar.api.asked import Asked, as_json, pointing, step_of_json
from cellar.api.body import JSON, PROMPT_BYTES, validated
from cellar.api.problems import internal_error, problem_of
from cellar.api.routes.parameters import REPLAYED
from cellar.api.schemas.sessions import StepRequest
from cellar.api.services import TENANT, Services
from cellar.errors import CellarError
from cellar.ports import SessionKey
from cellar.runtime.answers import StepAnswer
from cellar.runtime.pending import Pending
from cellar.wire.document import decode

logger = logging.getLogger(__name__)

PATH = re.compile(rb"/v1/sessions/([A-Za-z0-9._-]{1,128})/step")

PLAIN_HEADERS = frozenset(
    (b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length", b"connection")
)
"""What HTTP clients send by themselves. Any other header may ask for something."""

JSON_BYTES = JSON.encode()

ANYTHING = (b"*/*", JSON_BYTES)
"""What an Accept header says that is content with JSON."""

ALIVE = (b"keep-alive", b"close")
"""What a Connection header says that asks for no other protocol."""

OK = STATUS_LINE[200]


class _NoEvent:
    """What uvicorn sets to wake the task of a request; a plain step has none."""

    def set(self) -> None:
        """Do nothing."""


class StepCycle:
    """A plain step from its head to its answer, in the place of uvicorn's cycle of request and response."""

    __slots__ = ("asked", "body", "disconnected", "keep_alive", "more_body", "response_complete", "session")

    message_event = _NoEvent()

    def __init__(self, session: str, *, keep_alive: bool) -> None:
        self.session = session
        self.keep_alive = keep_alive
        self.body = b""
        self.asked: Asked | None = None
        self.more_body = True
        self.disconnected = False
        self.response_complete = False


class StepProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self._services: Services = config.app.state.services
        self._most_bytes = min(PROMPT_BYTES, config.app.state.max_body_bytes)
        self._defaults: Iterable[tuple[bytes, bytes]] = ()
        self._default_lines = b""

    def on_headers_complete(self) -> None:
        """Take the request if it is a plain step and nothing else is under way, else leave it to uvicorn."""
        before: RequestResponseCycle | None = self.cycle
        busy = (before is not None and not before.response_complete) or self.flow.write_paused
        session = None if busy else self._plain_session()
        if session is None:
            super().on_headers_complete()
        else:
            self.cycle = StepCycle(session, keep_alive=self.parser.should_keep_alive())  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body. What a plain step says of its length is held to by the parser."""
        cycle: object = self.cycle
        if type(cycle) is StepCycle:
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Run the step, now that it is there."""
        cycle: object = self.cycle
        if type(cycle) is not StepCycle:
            super().on_message_complete()
            return
        try:
            cycle.asked = step_of_json(validated(StepRequest, decode(cycle.body)), None)
            key = SessionKey(TENANT, cycle.session)
            asked = cycle.asked
            pending = self._services.sessions.submit(key, "step", asked.inputs, asked.identity, reset=asked.reset)
        except Exception as error:
            self._refuse(cycle, error)
        else:
            pending.when_done(lambda pending: self._answer(cycle, pending))

    def _plain_session(self) -> str | None:
        """Return the session of a plain step, None of any other request."""
        path = PATH.fullmatch(self.url)
        if path is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers) or not headers.keys() <= PLAIN_HEADERS:
            return None
        if headers.get(b"content-type") != JSON_BYTES or headers.get(b"accept", b"*/*") not in ANYTHING:
            return None
        if headers.get(b"connection", b"keep-alive").lower() not in ALIVE:
            return None
        length = headers.get(b"content-length", b"")
        return path[1].decode() if length.isdigit() and int(length) <= self._most_bytes else None

    def _answer(self, cycle: StepCycle, pending: Pending) -> None:
        try:
            answer = pending.result()
            assert cycle.asked is not None
            if answer.outputs is not None and answer.outputs.nbytes > PROMPT_BYTES:
                return self._answer_beside(cycle, cycle.asked, answer)
            content = as_json("output", cycle.asked, answer)
        except Exception as error:
            return self._refuse(cycle, error)
        return self._write_answer(cycle, answer, content)

    def _answer_beside(self, cycle: StepCycle, asked: Asked, answer: StepAnswer) -> None:
        """Write a long answer on a thread: others would wait for it."""

        def written(content: asyncio.Future[bytes]) -> None:
            error = content.exception()
            if isinstance(error, Exception):
                self._refuse(cycle, error)
            else:
                self._write_answer(cycle, answer, content.result())

        self.loop.run_in_executor(None, as_json, "output", asked, answer).add_done_callback(written)

    def _write_answer(self, cycle: StepCycle, answer: StepAnswer, content: bytes) -> None:
        replayed = b"%s: true\r\n" % REPLAYED.lower().encode() if answer.replayed else b""
        head = b"content-length: %d\r\ncontent-type: %s\r\n" % (len(content), JSON_BYTES)
        self._write(cycle, OK, head + replayed, content)

    def _refuse(self, cycle: StepCycle, error: Exception) -> None:
        response = self._response_of(cycle, error)
        head = b"".join([b"%s: %s\r\n" % header for header in response.raw_headers])
        self._write(cycle, STATUS_LINE[response.status_code], head, bytes(response.body))

    def _response_of(self, cycle: StepCycle, error: Exception) -> Response:
        """Return the problem document of an error, which points into the body."""
        if not isinstance(error, CellarError):
            logger.error("in a step of session %s", cycle.session, exc_info=error)
            return internal_error()
        if cycle.asked is None:
            return problem_of(error)
        try:
            with pointing(cycle.asked):
                raise error
        except CellarError as pointed:
            return problem_of(pointed)

    def _write(self, cycle: StepCycle, status: bytes, head: bytes, content: bytes) -> None:
        """Send an answer in one piece, and let the connection go on."""
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if self._defaults is not self.server_state.default_headers:  # uvicorn makes them anew each second
            self._defaults = self.server_state.default_headers
            self._default_lines = b"".join([b"%s: %s\r\n" % header for header in self._defaults])
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(b"".join((status, self._default_lines, head, close, b"\r\n", content)))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
