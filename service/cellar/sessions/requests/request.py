"""A request on its way: what somebody wants of a session, and waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cellar.errors import DeadlineExceeded, NotReached
from cellar.ports import Identity, Position, SessionKey, SessionMeta, SessionRecord
from cellar.sessions.requests.admission import NO_SIZE, ModelQueue, Size
from cellar.sessions.requests.pending_result import PendingResult
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import Kind
from cellar.sessions.values.results import Floats, Mask


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


class Request(PendingResult):
    """A change that somebody waits for. Cancelled, it harms nobody else."""

    __slots__ = (
        "after",
        "any_model",
        "any_revision",
        "ask_s",
        "began_s",
        "count",
        "edit",
        "fingerprint",
        "identity",
        "inputs",
        "key",
        "kind",
        "leave",
        "lost",
        "model",
        "nonce",
        "prepare",
        "reset",
        "shape",
        "taken_s",
        "tried_s",
        "turn",
        "until_s",
    )

    def __init__(
        self,
        key: SessionKey,
        kind: Kind,
        identity: Identity,
        fingerprint: bytes,
        nonce: bytes,
        began_s: float,
        inputs: Floats | None = None,
        reset: Mask | None = None,
    ) -> None:
        super().__init__(1 if inputs is None else inputs.shape[1])
        self.key = key
        self.kind = kind
        self.identity = identity
        self.fingerprint = fingerprint
        self.nonce = nonce
        self.began_s = began_s
        """When it came, by the monotonic clock."""
        self.inputs = inputs
        """(T, rows, in_size) of a step or a sequence."""
        self.reset = reset
        """(rows,) those that begin with the initial state instead; None for none."""
        self.count = 1
        """How many requests it stands for, and"""
        self.shape = None if inputs is None else inputs.shape
        """the shape of the inputs of each."""
        self.edit: Edit | None = None
        """What makes the new state, of a change that is not a step, and"""
        self.prepare: Prepare | None = None
        """the same if it takes its time. Requests of the session that come later wait meanwhile."""
        self.any_revision = False
        """Whether it may run on a session that is pinned to another kernel revision."""
        self.any_model = False
        """Whether it may run on a session whose model was deleted, of which only the sizes are known then."""
        self.until_s: float | None = None
        """When its time is over, by the monotonic clock; None: it has as much as it takes."""
        self.model: ModelQueue | None = None
        """The queue in which it counts, if its kernel call takes its time."""
        self.turn: list[None] | None = None
        """Holds one item, which the deadline and the kernel's thread both try to take: whoever has it ends or begins
        the request. None: it has no deadline, or has begun."""
        self.leave: Callable[[Request], None] | None = None
        """Takes it out of the queue that it waits in; None once it has begun."""
        self.after: PendingResult | None = None
        """An earlier request of the queue, without which this one must not happen."""
        self.taken_s = self.tried_s = 0.0
        """When it was first and when it was last taken up, by the monotonic clock."""
        self.lost = 0
        """Races lost to other processes."""
        self.ask_s = 0.0
        """How long the other processes are asked to leave the session alone, should it lose again."""

    def singles(self) -> "list[Request]":
        """Return the requests that it stands for."""
        return [self]

    def is_over(self) -> bool:
        """Return whether there is nothing left to do: nobody waits any more, or the request before it failed."""
        after = self.after
        if after is not None and after.done():
            if after.failed:
                self.settle(NotReached("the request before this one has failed"))
            self.after = None  # one at a time is enough to remember
        return self.done()

    def begin(self, time_s: float) -> None:
        """Note that the request is taken up: it waits in no queue of its session any more."""
        self.tried_s = time_s
        self.taken_s = self.taken_s or time_s
        self.leave = None

    @property
    def size(self) -> Size:
        """The rows and steps of each request that it stands for."""
        shape = self.shape
        return NO_SIZE if shape is None else (shape[1], shape[0])

    def left_s(self, now_s: float) -> float | None:
        """Return how much of its time is left, None if it has as much as it takes."""
        return None if self.until_s is None else self.until_s - now_s

    def end_after(self, left_s: float, deadline_s: float) -> None:
        """End the request with DeadlineExceeded if its kernel has not begun after `left_s`, the rest of its time."""
        self.turn = [None]
        deadline = asyncio.get_running_loop().call_later(left_s, self._is_late, deadline_s)
        self.when_done(lambda _: deadline.cancel())

    def end_if_late(self, end_s: float) -> None:
        """End the request if its time is over before then, which is when its call would end."""
        if self.until_s is not None and self.until_s < end_s and not self.done():
            self.give_up(DeadlineExceeded("the request would have been answered after its time"))

    def starts(self) -> bool:
        """Return whether the kernel may run it: somebody waits, and its time is not over. It never is from then on.

        Called on the thread of the kernel.
        """
        if self._outcome is not None:
            return False
        turn = self.turn
        if turn is not None:
            try:
                turn.pop()
            except IndexError:  # the deadline has it
                return False
            self.turn = None
        return True

    def _is_late(self, deadline_s: float) -> None:
        turn = self.turn
        if turn:
            try:
                turn.pop()
            except IndexError:  # the kernel has begun just now
                return
            self.give_up(too_late(deadline_s))

    def give_up(self, error: BaseException) -> None:
        """End it like this, unless it has ended. If it waits for its turn, its place is free for others at once."""
        self.settle(error)
        if self.leave is not None:
            self.leave(self)
            self.leave = None

    def cancel(self) -> None:
        """Let it be known that nobody waits any more."""
        if not self.done():
            self.give_up(asyncio.CancelledError())


def too_late(deadline_s: float) -> DeadlineExceeded:
    """Return the error of a request whose time was over before its kernel began."""
    return DeadlineExceeded(f"the request had not begun after {deadline_s * 1000:.6g} ms")
