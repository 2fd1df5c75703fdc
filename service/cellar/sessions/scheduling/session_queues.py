"""The queue of waiting requests of each session.

Requests of a session are run in the order in which they were submitted.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from cellar.ports import APPEND, Identity, SessionKey, SessionRecord, Writers
from cellar.sessions.execution.model_cache import LoadedModel
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.requests.request_state import WAITING
from cellar.sessions.values.row_flags import resets_only


@dataclass(slots=True, eq=False)
class SessionQueue:
    """A session with its requests.

    `record` is the session as this process knows it. Another process may have changed it since: then the commit fails
    with a conflict. `current` are the requests in progress, which become one commit; `waiting` are those behind them.
    """

    key: SessionKey
    record: SessionRecord | None = None
    served: "ref[LoadedModel] | None" = None
    """The model of the record, while it is loaded."""
    checked_shape: tuple[int, ...] | None = None
    """The shape of inputs that were checked against record and model: others of this shape are not checked."""
    group_number: int = -1
    """The number of the last commit group that it was in."""
    waiting: deque[Request[Any]] = field(default_factory=deque)
    current: list[Request[Any]] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether it has no requests."""
        return not self.current and not self.waiting

    def model_for(self, request: Request[Any]) -> LoadedModel | None:
        """Return the model if the request is a step that can run on it at once without any check, else None."""
        record, known = self.record, self.served
        if record is None or known is None or self.checked_shape is None or self.current or self.waiting:
            return None
        if not isinstance(request, StepRequest) or request.shape != self.checked_shape:
            return None
        if request.count > 1 or request.flags is not None or request.predecessor is not None:
            return None
        return known() if fits(request.identity, record) else None

    def put_back(self, kept: int) -> None:
        """Keep the first `kept` of the current requests; the others wait again, before all that wait."""
        if kept < len(self.current):
            for request in self.current[kept:]:
                request.move_to(WAITING)
            self.waiting.extendleft(reversed(self.current[kept:]))
            del self.current[kept:]

    def take_apart(self) -> list[StepRequest]:
        """Replace batches by their steps, of which the first stays current. Return all steps, none without a batch."""
        if all([request.count == 1 for request in self.current]):  # noqa: C419  # a generator costs twice as much
            return []
        current = [request for request in self.current if isinstance(request, StepRequest)]  # changes are always alone
        for request in current[1:]:
            if request.count == 1:
                request.move_to(WAITING)
        steps = [single for request in current for single in request.singles()]
        self.current = [*steps[:1]]
        self.waiting.extendleft(reversed(steps[1:]))
        return steps

    def keep_first(self) -> Request[Any]:
        """Keep the first request, or step, and return it; the others wait again."""
        self.take_apart()
        self.put_back(1)
        return self.current[0]


MOST_STEPS = 512
"""The most steps of requests that run together. A longer request runs alone."""


def fits(identity: Identity, record: SessionRecord) -> bool:
    """Return whether a request with this identity may run on the record, as far as the record shows."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return identity.position == record.position
    if identity.writer is not None:
        return identity.seq == record.writers.last(identity.writer) + 1
    return identity.step is None or identity.step == record.position.step


def join_waiting(queue: SessionQueue, record: SessionRecord, most: int, admits: Callable[[StepRequest], bool]) -> None:
    """Move waiting steps to the current ones, with which they then run: up to `most` requests in all.

    A step is moved if `admits` returns true and if it may run at the position that the steps before it lead to.
    """
    first = queue.current[0]
    if not isinstance(first, StepRequest) or not _may_share(first, record):
        return
    step, steps, count = record.position.step + len(first.inputs), len(first.inputs), first.count
    writers = record.writers.after(first.identity.writer, first.identity.seq, record.revision)
    while queue.waiting and count + queue.waiting[0].count <= most:
        request = queue.waiting[0]
        if request.is_over():  # it is dropped when it is taken up
            break
        if not isinstance(request, StepRequest):
            break
        inputs = request.inputs
        if inputs.shape[1:] != first.inputs.shape[1:] or steps + len(inputs) > MOST_STEPS:
            break
        if request.flags is not None or not _may_share(request, record):
            break
        if not (_follows(request.identity, step, writers) and admits(request)):
            break
        request.begin(first.tried_s)
        queue.current.append(queue.waiting.popleft())
        step, steps = step + len(inputs), steps + len(inputs)
        writers = writers.after(request.identity.writer, request.identity.seq, record.revision + count)
        count += request.count


def _may_share(request: StepRequest, record: SessionRecord) -> bool:
    """Return whether the request may share a commit.

    A request with an Idempotency-Key may not, because its answer is stored by itself. Requests of a session that keeps
    earlier states may not, because it keeps the states before each commit. Steps that some rows take no part in run in
    several calls.
    """
    is_plain = request.flags is None or resets_only(request.flags)
    return is_plain and request.identity.key is None and not record.meta.history


def _follows(identity: Identity, step: int, writers: Writers) -> bool:
    """Return whether a request may run at `step`, whose digest is known when the steps before it have run."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return False
    if identity.writer is not None:
        return identity.seq == writers.last(identity.writer) + 1
    return identity.step is None or identity.step == step
