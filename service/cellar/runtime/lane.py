"""A request on its way, and the lane of one session in which requests go in the order in which they came."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cellar.errors import NotReached
from cellar.ports import Committed, Identity, Position, SessionKey, SessionMeta, SessionRecord, Writers
from cellar.runtime.answers import Floats, Mask
from cellar.runtime.network import Network
from cellar.runtime.positions import Kind


@dataclass(frozen=True, slots=True)
class Edited:
    """What a change that is not a step makes of a session."""

    state: bytes
    meta: SessionMeta | None = None
    """What its metadata become, None if they stay."""
    reset: Mask | None = None
    """(rows,) those that begin anew, where not all of them do."""
    stays: bool = False
    """Whether its position stays as well: steps go on from there as if nothing had happened."""
    layout: str | None = None
    """Of that state, where another model than before has it."""
    steps: int = 0
    """Of a sequence that was run beforehand: how many, and where they end."""
    after: Position | None = None


Edit = Callable[[SessionRecord, Network], Edited]
"""Return what a change that is not a step makes of a session. Raise what forbids it."""

Prepare = Callable[[SessionRecord, Network], Awaitable[Edited]]
"""An edit that has to ask the store first. Raise Stale if it finds that the session is not what the record says."""


class Stale(Exception):
    """The session has moved on, or is another one, since the record was read."""


@dataclass(slots=True, eq=False)
class Request:
    """A change that somebody waits for. `future` is theirs: cancelled, it harms nobody else."""

    key: SessionKey
    kind: Kind
    identity: Identity
    fingerprint: bytes
    nonce: bytes
    future: asyncio.Future[Committed]
    began_s: float
    """When it came, by the loop's clock."""
    inputs: Floats | None = None
    """(T, rows, in_size) of a step or a sequence."""
    reset: Mask | None = None
    """(rows,) those that begin with the initial state instead; None for none."""
    edit: Edit | None = None
    """What makes the new state, of a change that is not a step, and"""
    prepare: Prepare | None = None
    """the same if it takes its time. Requests of the session that come later wait meanwhile."""
    any_revision: bool = False
    """Whether it may run on a session that is pinned to another kernel revision."""
    deadline: asyncio.TimerHandle | None = None
    """Ends the request if it still waits then."""
    after: asyncio.Future[Committed] | None = None
    """An earlier request of the lane, without which this one must not happen."""
    tried_s: float = 0.0
    """When it was last taken up, by the loop's clock."""
    lost: int = 0
    """Races lost to other processes."""
    ask_s: float = 0.0
    """How long the other processes are asked to leave the session alone, should it lose again."""

    def is_over(self) -> bool:
        """Whether there is nothing left to do: nobody waits any more, or the request before it failed."""
        after = self.after
        if after is not None and after.done() and not self.future.done():
            if after.cancelled() or after.exception() is not None:
                self.future.set_exception(NotReached("the request before this one has failed"))
            self.after = None  # one at a time is enough to remember
        return self.future.done()

    def begin(self, time_s: float) -> None:
        """Note that the request is taken up: what has begun is no longer ended by its deadline."""
        self.tried_s = time_s
        if self.deadline is not None:
            self.deadline.cancel()


@dataclass(slots=True, eq=False)
class Lane:
    """What this process knows of a session, and who waits for it.

    `record` is speculation: another process may have moved the session on, and the commit script will tell.
    `current` is on its way, and becomes one commit: a session is in one uncommitted tick at most.
    """

    key: SessionKey
    record: SessionRecord | None = None
    ahead: Floats | None = None
    """What the next step needs of the record's state alone, (rows, N), if somebody had the time; never stored."""
    waiting: deque[Request] = field(default_factory=deque)
    current: list[Request] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether a request of the lane is on its way."""
        return bool(self.current)

    @property
    def idle(self) -> bool:
        """Whether nobody needs the lane."""
        return not self.current and not self.waiting


MOST_STEPS = 512
"""Steps of requests that go together. One longer than this goes alone."""


def fits(identity: Identity, record: SessionRecord) -> bool:
    """Return whether a request may run on the record, as far as the record can tell."""
    if identity.position is not None:
        return identity.position == record.position
    if identity.writer is not None:
        return identity.seq == record.writers.last(identity.writer) + 1
    return identity.step is None or identity.step == record.position.step


def join_waiting(lane: Lane, record: SessionRecord, most: int, admits: Callable[[Request], bool]) -> None:
    """Let steps that wait behind the first request of the lane go with it, up to `most` requests in all.

    They are those that `admits` admits and that are known to fit where the ones before them end.
    """
    first = lane.current[0]
    if first.inputs is None or not _may_share(first, record):
        return
    step, steps = record.position.step + len(first.inputs), len(first.inputs)
    writers = record.writers.after(first.identity.writer, first.identity.seq, record.revision)
    while lane.waiting and len(lane.current) < most:
        request = lane.waiting[0]
        if request.is_over():  # it leaves when it would be taken up
            break
        inputs = request.inputs
        if inputs is None or inputs.shape[1:] != first.inputs.shape[1:] or steps + len(inputs) > MOST_STEPS:
            break
        if request.reset is not None or not _may_share(request, record):
            break
        if not (_follows(request.identity, step, writers) and admits(request)):
            break
        request.begin(first.tried_s)
        lane.current.append(lane.waiting.popleft())
        step, steps = step + len(inputs), steps + len(inputs)
        writers = writers.after(request.identity.writer, request.identity.seq, record.revision + len(lane.current) - 1)


def _may_share(request: Request, record: SessionRecord) -> bool:
    """Return whether it may share a commit.

    One with an Idempotency-Key may not, whose answer is kept for itself; and states that a session keeps are those
    before a commit.
    """
    return request.identity.key is None and not record.meta.history


def _follows(identity: Identity, step: int, writers: Writers) -> bool:
    """Return whether a request runs at `step`. What digest is there is known only when those before it have run."""
    if identity.position is not None:
        return False
    if identity.writer is not None:
        return identity.seq == writers.last(identity.writer) + 1
    return identity.step is None or identity.step == step
