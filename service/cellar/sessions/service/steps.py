"""The single entry point for steps of all wire formats and transports."""

import os
from time import monotonic
from typing import Any, Protocol

import numpy as np
import orjson

from cellar.errors import Overloaded, ShapeMismatch
from cellar.memory.request_memory import RequestMemory
from cellar.ports import APPEND, UNMARKED, Floats, Readings, RowFlags, SessionKey, StepCommand
from cellar.sessions.requests.request import PendingResult, PendingSteps, StepRequest, too_late
from cellar.sessions.requests.step_batch import StepBatch
from cellar.sessions.scheduling.readings import missing_only
from cellar.sessions.scheduling.scheduler import Scheduler
from cellar.sessions.values.identity import NONCE_BYTES, check_identity, nonces
from cellar.sessions.values.position import Kind, fingerprint, step_fingerprints
from cellar.sessions.values.row_flags import flags_of

USUAL_BYTES = 4 * 1024
"""Inputs up to this size are not counted: of as many requests as may wait they take 16 MiB."""


UNREAD = 0
"""In place of the numbers of a row in the shape of steps that the model has not read: no checked shape has it."""


class StepQuota(Protocol):
    """Counts the steps of each tenant, and refuses those beyond its quotas."""

    def begin_steps(self, tenant: str, steps: int) -> bool:
        """Count steps; return whether `end_steps` must be called when they are answered. Raise QuotaExceeded."""
        ...

    def end_steps(self, tenant: str, steps: int) -> None:
        """Note that steps are answered."""

    def check_steps(self, tenant: str) -> None:
        """Raise QuotaExceeded if no step is taken now. Nothing is counted."""


class Steps:
    """Takes commands and queues them as requests. A sequence has `max_sequence_steps` at most."""

    def __init__(self, scheduler: Scheduler, memory: RequestMemory, *, max_sequence_steps: int) -> None:
        self.scheduler = scheduler
        self.memory = memory
        self.max_sequence_steps = max_sequence_steps
        self.admission = scheduler.admission
        self.together = scheduler.together
        """Returns a context for requests that came together: those of one session share a commit from the first."""
        self._nonces = nonces()
        self.quota: StepQuota | None = None
        """Counts the steps of each tenant; None while they need not be counted."""

    def submit(self, command: StepCommand, after: PendingResult[Any] | None = None) -> PendingSteps:
        """Queue steps that a client has sent, as `queue` does. Raise QuotaExceeded as well."""
        if self.quota is None:
            return self.queue(command, after)
        tenant, count = command.session.tenant, _steps_of(command)
        quota = self.quota
        try:
            must_end = quota.begin_steps(tenant, count)
        except Overloaded:
            self.admission.is_refusing = True  # so that the next one is refused before it is decoded
            raise
        if not must_end:
            return self.queue(command, after)
        try:
            pending = self.queue(command, after)
        except BaseException:
            quota.end_steps(tenant, count)
            raise
        pending.when_done(lambda _: quota.end_steps(tenant, count))
        return pending

    def queue(self, command: StepCommand, after: PendingResult[Any] | None = None) -> PendingSteps:
        """Queue steps and return their pending result, a `StepResult` or an error.

        Requests of a session are run in the order of the calls, and waiting steps are run together. If `after`, an
        earlier request of the session, fails, this one fails with NotReached. A batch gives a `PendingBatch`, whose
        steps are separate requests: the first depends on `after` and, if they are numbered, each on the one before it.
        The inputs of a batch are finite.

        Raise, at once or from the pending result, ShapeMismatch, NotFinite, StateNotFinite or OutputNotFinite, whose
        pointers begin at the inputs; InvalidInput for an identity or a `reset` that does not fit; DeadlineExceeded if
        the steps have not begun in their time; Overloaded, KernelRevisionMismatch, a PositionConflict,
        FingerprintMismatch, or an error of the session or its model.
        """
        deadline_s = command.deadline_s
        left_s = None if deadline_s is None else _left_s(deadline_s, command.came_s)
        request = self._batch(command) if command.kind == "batch" else self._request(command)
        request.predecessor = after
        if left_s is not None:
            request.until_s = request.began_s + left_s
        self.scheduler.submit(request)
        if left_s is not None and deadline_s is not None:
            request.end_after(left_s, deadline_s)
        return request

    def check_room(self, key: SessionKey, deadline_s: float | None, came_s: float | None = None) -> None:
        """Raise Overloaded if a step of the session would be refused for those that wait, as far as that is known.

        Raise QuotaExceeded if its tenant may send none now.

        The deadline counts from `came_s` or from now. Raise DeadlineExceeded if it is past.
        """
        if self.quota is not None:
            self.quota.check_steps(key.tenant)
        self.scheduler.check_room(key, None if deadline_s is None else _left_s(deadline_s, came_s))

    def _request(self, command: StepCommand) -> StepRequest:
        inputs, identity = command.inputs, command.identity
        if inputs.ndim != 3 or not 1 <= inputs.shape[0] <= self.max_sequence_steps:
            raise ShapeMismatch(
                "a sequence has another shape, or more steps than it may have (CELLAR_MAX_SEQUENCE_STEPS)",
                expected=f"(T, batch_size, in_size), T from 1 to {self.max_sequence_steps}",
                actual=str(inputs.shape),
            )
        flags = None
        if command.reset is not False or command.rows is not None:
            inputs, flags = flags_of(inputs, command.reset, command.rows)
            command.inputs = inputs
        if not (command.is_finite and inputs.flags.c_contiguous):
            inputs = command.inputs = np.ascontiguousarray(inputs, dtype="<f4")
        if not command.is_finite and command.readings is None and not np.isfinite(inputs).all():
            command.readings = missing_only(inputs)
        if inputs.nbytes > USUAL_BYTES:
            self._reserve(command)
        mark = UNMARKED
        if identity is not APPEND:
            check_identity(identity)
            if identity.ordered or identity.key is not None:
                mark = _fingerprint(command, inputs, flags)
        request = StepRequest(command, identity, mark, next(self._nonces), monotonic(), inputs, flags)
        if command.readings is not None:
            request.shape = (*inputs.shape[:2], UNREAD)
        return request

    def _batch(self, command: StepCommand) -> StepBatch:
        inputs = command.inputs
        if inputs.nbytes > USUAL_BYTES:
            self._reserve(command)
        is_numbered = command.identity.step is not None
        marks = step_fingerprints(inputs) if is_numbered else os.urandom(NONCE_BYTES * len(inputs))
        return StepBatch(command, marks, monotonic())

    def _reserve(self, command: StepCommand) -> None:
        """Reserve the memory of large inputs. Raise Overloaded."""
        command.memory = self.memory.reservation()
        command.memory.extend(command.inputs.nbytes)


def _steps_of(command: StepCommand) -> int:
    """Return the number of steps of a command: of a sequence, its length."""
    return len(command.inputs)


def _fingerprint(command: StepCommand, inputs: Floats, flags: RowFlags | None) -> bytes:
    kind: Kind = "sequence" if command.kind == "sequence" else "step"
    written = "" if command.readings is None else _text_of(command.readings)
    if flags is None:
        return fingerprint(kind, inputs, names=written)
    numbers = None if command.rows is None else command.rows.numbers
    names = written if numbers is None else f"{written} of rows {list(numbers)}"
    return fingerprint(kind, inputs, flags[0] if len(flags) == 1 else flags, names=names)


def _text_of(readings: Readings) -> str:
    """Return rows of readings as text, which does not depend on the order of names; "" if they are numbers."""
    return "" if readings.rows is None else orjson.dumps(readings.rows, option=orjson.OPT_SORT_KEYS).decode()


def _left_s(deadline_s: float, came_s: float | None) -> float:
    """Return the rest of the time of a request that came at `came_s`, seconds. Raise DeadlineExceeded if it is over."""
    left_s = deadline_s if came_s is None else came_s + deadline_s - monotonic()
    if left_s <= 0:
        raise too_late(deadline_s)
    return left_s
