"""The queues of sessions, in which requests go in the order in which they came, and what is known of each session.

The memory for them is bounded: sessions used longest ago are forgotten.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from cellar.ports import APPEND, Identity, SessionKey, SessionRecord, Writers
from cellar.sessions.execution.model_cache import LoadedModel
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.requests.request_state import WAITING


@dataclass(slots=True, eq=False)
class SessionQueue:
    """What this process knows of a session, and who waits for it.

    `record` is speculation: another process may have moved the session on, and the commit script will tell.
    `current` is on its way, and becomes one commit: a session is in one uncommitted tick at most.
    """

    key: SessionKey
    record: SessionRecord | None = None
    served: "ref[LoadedModel] | None" = None
    """The model of that record, as long as it is loaded, and"""
    familiar: tuple[int, ...] | None = None
    """the shape of inputs that were found to fit record and model: of the same shape, no others need a look."""
    tick: int = -1
    """Number of the tick that it went with last."""
    waiting: deque[Request[Any]] = field(default_factory=deque)
    current: list[Request[Any]] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nobody needs the queue."""
        return not self.current and not self.waiting

    def model_for(self, request: Request[Any]) -> LoadedModel | None:
        """Return the model if the request is a step that may run on it at once, like others before it, else None."""
        record, known = self.record, self.served
        if record is None or known is None or self.familiar is None or self.current or self.waiting:
            return None
        if not isinstance(request, StepRequest) or request.shape != self.familiar:
            return None
        if request.count > 1 or request.reset is not None or request.predecessor is not None:
            return None
        return known() if fits(request.identity, record) else None

    def put_back(self, kept: int) -> None:
        """Keep the first of the requests that are on their way; the others wait again, before all that wait."""
        if kept < len(self.current):
            for request in self.current[kept:]:
                request.move_to(WAITING)
            self.waiting.extendleft(reversed(self.current[kept:]))
            del self.current[kept:]

    def take_apart(self) -> list[StepRequest]:
        """Let each step of what came as one go by itself. Return all steps, none if nothing came as one.

        The first of all is on its way then, and the others wait again.
        """
        if all([request.count == 1 for request in self.current]):  # noqa: C419  # a generator costs twice as much
            return []
        current = [
            request for request in self.current if isinstance(request, StepRequest)
        ]  # no change goes with others
        for request in current[1:]:
            if request.count == 1:
                request.move_to(WAITING)
        steps = [single for request in current for single in request.singles()]
        self.current = [*steps[:1]]
        self.waiting.extendleft(reversed(steps[1:]))
        return steps

    def keep_first(self) -> Request[Any]:
        """Let the first request go on alone, and return it; the others wait again."""
        self.take_apart()
        self.put_back(1)
        return self.current[0]


LANE_BYTES = 2560
"""What a queue costs besides its state, with what the store packs of it: measured at 2.4 KB."""

MOST_BUSY = 64
"""Sessions in use that one eviction passes over: the next one goes on where it ended."""

WRITER_BYTES = 160
"""What a writer's mark costs."""


class SessionCache:
    """The queues of a process, up to `max_bytes` of them and of what they hold."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._scheduler: OrderedDict[SessionKey, SessionQueue] = OrderedDict()
        self._bytes = 0

    def queue(self, key: SessionKey) -> SessionQueue:
        """Return the queue of a session, which is a new one if nothing is known of it."""
        queue = self._scheduler.get(key)
        if queue is None:
            queue = self._scheduler[key] = SessionQueue(key)
            self._bytes += LANE_BYTES
        else:
            self._scheduler.move_to_end(key)
        return queue

    def known(self, key: SessionKey) -> SessionQueue | None:
        """Return the queue of a session if there is one."""
        return self._scheduler.get(key)

    def believe(self, queue: SessionQueue, record: SessionRecord | None) -> None:
        """Take the session for this, None for unknown.

        What was found out about the session stays if steps alone have led there.
        """
        before, queue.record = queue.record, record
        if record is None or before is None or record.meta is not before.meta:
            queue.served = queue.familiar = None
        elif record.writers is before.writers:  # a step, as most: it holds what it held
            return
        self._bytes += _bytes_of(record) - _bytes_of(before)

    def evict(self) -> None:
        """Forget the sessions used longest ago, while what is known takes too much memory.

        A session that is in use is kept, and counts as used just now.
        """
        looks = MOST_BUSY
        while self._bytes > self._max_bytes and looks:
            queue = next(iter(self._scheduler.values()))
            if queue.idle:
                self.believe(queue, None)
                del self._scheduler[queue.key]
                self._bytes -= LANE_BYTES
            else:
                self._scheduler.move_to_end(queue.key)
                looks -= 1


MOST_STEPS = 512
"""Steps of requests that go together. One longer than this goes alone."""


def fits(identity: Identity, record: SessionRecord) -> bool:
    """Return whether a request may run on the record, as far as the record can tell."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return identity.position == record.position
    if identity.writer is not None:
        return identity.seq == record.writers.last(identity.writer) + 1
    return identity.step is None or identity.step == record.position.step


def join_waiting(queue: SessionQueue, record: SessionRecord, most: int, admits: Callable[[StepRequest], bool]) -> None:
    """Let steps that wait behind those on their way go with them, up to `most` requests in all.

    They are those that `admits` admits and that are known to fit where the ones before them end.
    """
    first = queue.current[0]
    if not isinstance(first, StepRequest) or not _may_share(first, record):
        return
    step, steps, count = record.position.step + len(first.inputs), len(first.inputs), first.count
    writers = record.writers.after(first.identity.writer, first.identity.seq, record.revision)
    while queue.waiting and count + queue.waiting[0].count <= most:
        request = queue.waiting[0]
        if request.is_over():  # it leaves when it would be taken up
            break
        if not isinstance(request, StepRequest):
            break
        inputs = request.inputs
        if inputs.shape[1:] != first.inputs.shape[1:] or steps + len(inputs) > MOST_STEPS:
            break
        if request.reset is not None or not _may_share(request, record):
            break
        if not (_follows(request.identity, step, writers) and admits(request)):
            break
        request.begin(first.tried_s)
        queue.current.append(queue.waiting.popleft())
        step, steps = step + len(inputs), steps + len(inputs)
        writers = writers.after(request.identity.writer, request.identity.seq, record.revision + count)
        count += request.count


def _may_share(request: StepRequest, record: SessionRecord) -> bool:
    """Return whether it may share a commit.

    One with an Idempotency-Key may not, whose answer is kept for itself; and states that a session keeps are those
    before a commit.
    """
    return request.identity.key is None and not record.meta.history


def _follows(identity: Identity, step: int, writers: Writers) -> bool:
    """Return whether a request runs at `step`. What digest is there is known only when those before it have run."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return False
    if identity.writer is not None:
        return identity.seq == writers.last(identity.writer) + 1
    return identity.step is None or identity.step == step


def _bytes_of(record: SessionRecord | None) -> int:
    return 0 if record is None else len(record.state) + WRITER_BYTES * len(record.writers.all)
