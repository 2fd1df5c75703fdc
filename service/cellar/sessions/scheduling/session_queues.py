"""The queues of the sessions that a process uses, in a cache of the sessions that it knows, limited in bytes.

Requests of a session are run in the order in which they were submitted.

The sessions that were used last, and those in use, have their queues with all their objects. The others are kept in the
compact form of the store, one bytes object each: a third of the memory, and nothing that the garbage collector must
visit. It would stop the event loop for a second to look through the objects of 300,000 sessions.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from weakref import ref

from cellar.metrics.counts import COUNTS, ModelCounts
from cellar.ports import APPEND, Identity, SessionKey, SessionRecord, SessionStore
from cellar.sessions.execution.model_cache import LoadedModel, ModelCache
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.requests.request_state import WAITING


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
        if not isinstance(request, StepRequest) or request.shape != self.checked_shape or request.command.scored:
            return None
        if request.count > 1 or request.flags is not None or request.predecessor is not None:
            return None
        return known() if fits(request.identity, record) else None

    def model_counts(self, ref: str) -> ModelCounts:
        """Return the counts of the model, `name@3`, that has run steps of the session."""
        served = None if self.served is None else self.served()
        return COUNTS.model(self.key.tenant, ref) if served is None else served.counts

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


def fits(identity: Identity, record: SessionRecord) -> bool:
    """Return whether a request with this identity may run on the record, as far as the record shows."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return identity.position == record.position
    if identity.writer is not None:
        return identity.seq == record.writers.last(identity.writer) + 1
    return identity.step is None or identity.step == record.position.step


QUEUE_BYTES = 2560
"""Memory of a queue without its state, with the parts that the store keeps packed: measured at 2.4 KB."""

WRITER_BYTES = 160
"""Memory of a writer of a queue."""

COMPACT_BYTES = 192
"""Memory of a compact session without its bytes and its name: two objects and its place in a table."""

MOST_QUEUES = 4096
"""Most queues besides those in use, as many as CELLAR_QUEUE_LIMIT lets wait: a collection visits them in 10 ms."""

MOST_BUSY = 64
"""The number of sessions in use that one eviction passes over; the next eviction begins behind them."""

TABLES = 64
"""Tables of compact sessions: to make a table of a million larger would take 30 ms, and so would to look for the oldest
of a table from which many were removed."""

REMOVED = 128
"""The part of a table that one eviction removes: to find the oldest in a large one takes as long as to remove ten."""


class SessionCache:
    """The sessions that a process knows, which take up to `max_bytes` of memory."""

    def __init__(self, max_bytes: int, store: SessionStore, models: ModelCache, most_queues: int = MOST_QUEUES) -> None:
        self._max_bytes = max_bytes
        self._store = store
        self._models = models
        self._most_queues = most_queues
        self._queues: OrderedDict[SessionKey, SessionQueue] = OrderedDict()
        self._tables: list[dict[str, bytes]] = [{} for _ in range(TABLES)]
        """Compact sessions by tenant and name; in each table, those put there first come first."""
        self._next_table = 0
        self.bytes = 0
        """Memory of all of it."""

    @property
    def count(self) -> int:
        """The number of sessions."""
        return len(self._queues) + sum([len(table) for table in self._tables])

    def queue(self, key: SessionKey) -> SessionQueue:
        """Return the queue of a session, a new one if there is none."""
        queue = self._queues.get(key)
        if queue is None:
            return self._expand(key) or self._add(SessionQueue(key))
        self._queues.move_to_end(key)
        return queue

    def known(self, key: SessionKey) -> SessionQueue | None:
        """Return the queue of a session if the session is known."""
        return self._queues.get(key) or self._expand(key)

    def set_record(self, queue: SessionQueue, record: SessionRecord | None) -> None:
        """Set the record of a session. Model and checked shape stay if the metadata are the same, as after steps."""
        before, queue.record = queue.record, record
        if record is None or before is None or record.meta is not before.meta:
            queue.served = queue.checked_shape = None
        elif record.writers is before.writers:  # mostly: a step changes no sizes
            return
        self.bytes += _bytes_of(record) - _bytes_of(before)

    def forget_models_of_followers(self) -> None:
        """Forget which model runs each session that follows an alias, because an alias has moved."""
        for queue in self._queues.values():
            if queue.record is not None and queue.record.meta.following is not None:
                queue.served = queue.checked_shape = None

    def evict(self) -> None:
        """Make the least recently used sessions compact, or remove them, while there are too many or too much memory.

        A session in use counts as used now.
        """
        if len(self._queues) > self._most_queues or self.bytes > self._max_bytes:
            self._evict()

    def _evict(self) -> None:
        looks = MOST_BUSY
        while looks and len(self._queues) > self._most_queues:
            looks -= not self._take_queue(compact=True)
        while self.bytes > self._max_bytes and self._remove_compact():
            pass
        while looks and self._queues and self.bytes > self._max_bytes:
            looks -= not self._take_queue(compact=False)

    def _take_queue(self, *, compact: bool) -> bool:
        """Remove the least recently used queue, and keep its session if `compact`; return whether it was idle."""
        key, queue = self._queues.popitem(last=False)
        if queue.current or queue.waiting:
            self._queues[key] = queue
            return False
        record = queue.record
        self.bytes -= QUEUE_BYTES + _bytes_of(record)
        if compact and record is not None and not record.redo:
            served = None if queue.served is None else queue.served()
            if served is not None and queue.checked_shape is not None:
                served.checked[_sizes(record)] = queue.checked_shape
            table, name = self._place(key)
            data = table[name] = self._store.compact(record)
            self.bytes += COMPACT_BYTES + len(name) + len(data)
        return True

    def _remove_compact(self) -> bool:
        """Remove the oldest compact sessions of the next table that has any; return whether there was one."""
        for _ in range(TABLES):
            self._next_table = (self._next_table + 1) % TABLES
            table = self._tables[self._next_table]
            if table:
                for name in list(islice(table, 1 + len(table) // REMOVED)):
                    self.bytes -= COMPACT_BYTES + len(name) + len(table.pop(name))
                return True
        return False

    def _expand(self, key: SessionKey) -> SessionQueue | None:
        """Return the queue of a session that was compact, ready to run the next step, None if there is none."""
        table, name = self._place(key)
        data = table.pop(name, None)
        if data is None:
            return None
        self.bytes -= COMPACT_BYTES + len(name) + len(data)
        queue = self._add(SessionQueue(key))
        record = queue.record = self._store.expand(key, data)
        self.bytes += _bytes_of(record)
        served = self._models.cached(key.tenant, record.meta)
        if served is not None and record.meta.following is None:
            queue.served = ref(served)
            queue.checked_shape = served.checked.get(_sizes(record))
        return queue

    def _add(self, queue: SessionQueue) -> SessionQueue:
        self._queues[queue.key] = queue
        self.bytes += QUEUE_BYTES
        return queue

    def _place(self, key: SessionKey) -> tuple[dict[str, bytes], str]:
        """Return the table that has a session in its compact form, and its name there."""
        name = f"{key.tenant}/{key.session}"  # a tenant has no slash
        return self._tables[hash(name) % TABLES], name


def _sizes(record: SessionRecord) -> tuple[int, int, int]:
    """Return rows, revision and state size of a session, on which the inputs that it may take depend."""
    return record.meta.batch_size, record.meta.kernel_rev, len(record.state)


def _bytes_of(record: SessionRecord | None) -> int:
    return 0 if record is None else len(record.state) + WRITER_BYTES * len(record.writers.all)
