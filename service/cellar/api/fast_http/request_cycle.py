"""Serves one plain step over HTTP, from its complete body to its answer, without ASGI and without an asyncio task."""

import asyncio
import logging
from functools import lru_cache
from time import monotonic
from typing import ClassVar, Final, Protocol

import numpy as np
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from cellar.api.decoding.steps.step_input import pointing
from cellar.api.decoding.steps.step_output import as_json, laid_out, row_as_json
from cellar.api.dependencies import Services
from cellar.api.errors.problems import internal_error, problem_of, response_of
from cellar.api.errors.step_counts import count_error
from cellar.api.fast_http.request_head import Terms
from cellar.api.http.body import JSON, PROMPT_BYTES
from cellar.api.http.parameters import POSITION, RAN_ON, REPLAYED, STEP_NUMBER
from cellar.api.outcomes.outcome import Outcome
from cellar.errors import CellarError, DeadlineExceeded, Overloaded, QuotaExceeded
from cellar.errors import Outcome as StoreOutcome
from cellar.metrics.counts import COUNTS, TransportCounts
from cellar.ports import ROW, SessionKey, StepCommand, StepResult
from cellar.sessions.requests.request import PendingSteps
from cellar.wire.arrays import npy

logger = logging.getLogger(__name__)

FAST_JSON: Final = COUNTS.transports["fast_json"]
FAST_NPY: Final = COUNTS.transports["fast_npy"]

OK, LIMITED, UNAVAILABLE, LATE = (STATUS_LINE[status] for status in (200, 429, 503, 504))

REPLAYED_LINE = b"%s: true\r\n" % REPLAYED.lower().encode()
JSON_HEAD = b"content-length: %%d\r\ncontent-type: %s\r\n" % JSON.encode()
MODEL_LINE = b"%s: %%s\r\n" % RAN_ON.lower().encode()
NPY_HEAD = b"%s: %%s\r\n%s: %%d\r\ncontent-length: %%d\r\ncontent-type: %s\r\n" % (
    *(POSITION.lower().encode(), STEP_NUMBER.lower().encode()),
    npy.MEDIA_TYPE.encode(),
)


@lru_cache(64)
def _overloaded(
    limited: bool,
    detail: str,
    outcome: StoreOutcome,
    retry_after_s: int,
    quota: str | None,
    limit: float | None,
    setting: str | None,
) -> tuple[bytes, bytes]:
    """Return the head and the body of a refusal. Under overload nearly all are equal, and must be cheap.

    `limited` is whether the tenant has used up a quota.
    """
    kind = QuotaExceeded if limited else Overloaded
    error = kind(detail, outcome=outcome, retry_after_s=retry_after_s, quota=quota, limit=limit, setting=setting)
    return _parts_of(response_of(error))


@lru_cache(64)
def _late(detail: str) -> tuple[bytes, bytes]:
    """Return the head and the body of a step whose deadline has passed."""
    return _parts_of(response_of(DeadlineExceeded(detail)))


def _parts_of(response: Response) -> tuple[bytes, bytes]:
    return b"".join([b"%s: %s\r\n" % header for header in response.raw_headers]), bytes(response.body)


_make = tuple.__new__
"""Makes a named tuple in a third of the time of its class."""


class _NoEvent:
    """The event that uvicorn sets to wake the task of a request; here there is no task."""

    def set(self) -> None:
        """Do nothing."""


class Connection(Protocol):
    """The members of a connection that a cycle uses."""

    loop: asyncio.AbstractEventLoop
    services: Services

    def write(self, cycle: "StepCycle", status: bytes, head: bytes, *content: bytes | memoryview) -> None:
        """Send an answer in one piece, and continue with the next request."""

    def note_answer(self) -> None:
        """Count an answered step."""

    def back_off(self, tenant: str) -> None:
        """Stop reading for a while if many requests are refused. The request was the tenant's."""


class StepCycle:
    """The request of a plain step, in the place of uvicorn's cycle of request and response."""

    __slots__ = (
        *("_command", "_connection", "_key", "_pending", "_session", "_terms"),
        *("came_s", "disconnected", "keep_alive", "pieces", "problem", "request_id", "response_complete"),
    )

    message_event: ClassVar = _NoEvent()

    def __init__(
        self,
        connection: Connection,
        session: str,
        key: str | None,
        terms: Terms,
        request_id: str | None = None,
        *,
        keep_alive: bool,
    ) -> None:
        self._connection = connection
        self._session = session
        self._key = key
        self._terms = terms
        self.request_id = request_id
        self.problem = ""
        """The name of the problem, if the request has failed."""
        self._pending: PendingSteps | None = None
        self._command: StepCommand | None = None
        self.came_s: float | None = None
        """When the request was received, by the monotonic clock; None: now."""
        self.pieces: list[bytes] = []
        """The received pieces of the body."""
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    def run(self, body: bytes) -> None:
        """Decode the body and submit the step."""
        terms, steps = self._terms, self._connection.services.sessions.steps
        session = _make(SessionKey, (terms.caller.tenant, self._session))
        try:
            if steps.admission.is_refusing and terms.kind == "step":  # before the body is decoded
                steps.check_room(session, terms.within_s, self.came_s)
            self._command = command = terms.decode(body, session, self._key, terms.within_s)
            command.came_s = self.came_s
            self._pending = pending = steps.submit(command)
        except Exception as error:
            # not now: an answer starts the idle time of the connection, and more may have been received with this one
            self._connection.loop.call_soon(self._refuse, error)
        else:
            pending.when_done(self._answer)

    def outcome(self, status: int, request_id: str) -> Outcome:
        """Return the outcome of the request, which is answered with this status."""
        began_s: float | None = getattr(self._pending, "began_s", self.came_s)  # a forwarded step has none
        return Outcome(
            "http",
            "POST",
            f"/v1/sessions/{{session}}/{self._terms.kind}",
            status,
            self.problem,
            self._terms.caller.tenant,
            self._session,
            0.0 if began_s is None else monotonic() - began_s,
            request_id,
        )

    def _answer(self, pending: PendingSteps) -> None:
        """Write the answer or the refusal. This is called while steps are answered, and raises nothing."""
        try:
            result = pending.result()
            self._count(result)
            output = result.output
            if output is None:
                self._write_json(as_json(result), replayed=result.replayed)
            elif self._terms.wants == npy.MEDIA_TYPE:
                self._write_npy(result)
            elif len(output) > PROMPT_BYTES:
                self._answer_beside(result)
            else:
                encode = row_as_json if result.command.layout == ROW else as_json
                self._write_json(encode(result), replayed=result.replayed)
        except Exception as error:
            self._refuse(error)

    @property
    def _counts(self) -> TransportCounts:
        return FAST_NPY if self._terms.wants == npy.MEDIA_TYPE else FAST_JSON

    def _count(self, result: StepResult) -> None:
        counts = self._counts  # as `count_result` does: its file would be one more on the way of each step
        if result.replayed:
            counts.replayed += 1
            counts.replayed_steps += result.steps
        else:
            counts.committed += 1
            counts.committed_steps += result.steps

    def _answer_beside(self, result: StepResult) -> None:
        """Encode a long answer on a thread, because all other requests would wait for it."""

        def written(content: asyncio.Future[bytes]) -> None:
            """Write the answer that was encoded on a thread, or the error."""
            error = content.exception()
            if isinstance(error, Exception):
                self._refuse(error)
            else:
                self._write_json(content.result(), replayed=result.replayed)

        self._connection.loop.run_in_executor(None, as_json, result).add_done_callback(written)

    def _write_json(self, content: bytes, *, replayed: bool) -> None:
        line = REPLAYED_LINE if replayed else b""
        content += b"\n"
        self._connection.note_answer()
        self._connection.write(self, OK, JSON_HEAD % len(content) + line, content)

    def _write_npy(self, result: StepResult) -> None:
        assert result.outputs is not None
        numbers = np.ascontiguousarray(laid_out(result.outputs, result.command.layout), "<f4")
        header, position = npy.header(numbers.shape), result.position
        size = len(header) + numbers.nbytes
        self._connection.note_answer()
        head = NPY_HEAD % (str(position).encode(), position.step, size)
        if result.model is not None:
            head += MODEL_LINE % result.model.encode()
        self._connection.write(self, OK, head + (REPLAYED_LINE if result.replayed else b""), header, numbers.data)

    def _refuse(self, error: Exception) -> None:
        self.problem = error.slug if isinstance(error, CellarError) else "internal_error"
        count_error(self._counts, error)
        if isinstance(error, Overloaded):
            COUNTS.refuse(error.slug)
            limited = isinstance(error, QuotaExceeded)
            about = (error.quota, error.limit, error.setting)
            parts = _overloaded(limited, error.detail, error.outcome, error.retry_after_s, *about)
            self._connection.write(self, LIMITED if limited else UNAVAILABLE, *parts)
            return self._connection.back_off(self._terms.caller.tenant)
        if type(error) is DeadlineExceeded:
            COUNTS.refuse(error.slug)
            # no back-off: a request may be late because its connection was not read
            return self._connection.write(self, LATE, *_late(error.detail))
        response = self._response_of(error)
        return self._connection.write(self, STATUS_LINE[response.status_code], *_parts_of(response))

    def _response_of(self, error: Exception) -> Response:
        """Return the problem document of an error, which points into the body."""
        if not isinstance(error, CellarError):
            logger.error("in a step of session %s", self._session, exc_info=error)
            return internal_error()
        if self._command is None:
            return problem_of(error)
        try:
            with pointing(self._command):
                raise error
        except CellarError as pointed:
            return problem_of(pointed)
