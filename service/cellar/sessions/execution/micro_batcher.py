"""Collects steps of many sessions into one kernel call (micro-batching).

A batcher has no timer and no task, so an idle model costs nothing. The scheduler takes a batch out of it when another
commit may begin (`GroupCommit`), and has it run. Steps that come meanwhile are the next batch. Kernels run on threads
of their own and release the GIL, unless a call is shorter than the switch to a thread.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from operator import attrgetter
from time import monotonic
from typing import NamedTuple

from cellar.errors import Overloaded
from cellar.sessions.execution.kernel_batch import (
    CHUNK_STEPS,
    BatchItem,
    most_row_steps,
    run_single_steps,
    run_wanted,
)
from cellar.sessions.execution.thread_shares import ThreadShare, ThreadShares
from cellar.sessions.requests.call_cost import MAX_ROWS, CallCost
from cellar.sessions.values.model_protocol import Network

PROMPT_FLOPS = 4_000_000
"""A call of at most 0.1 ms is run at once: handing it to a thread and back takes longer on a busy core."""

PROMPT_STEPS = 64
"""The most steps of a work in such a call, because a digest is computed for each."""

SHARED_FLOPS = PROMPT_FLOPS // 64
"""The most operations of a step that shares its batch with steps of other models: dozens of them are run at once."""

MEASURED_ROWS = 8
"""The fewest works of a prompt call that is measured, except for the first call: to measure one slows it down."""

MOST_STEPS = 256
"""The most single steps of one call: the states and commits of a thousand do not fit into the processor's caches, and
each step takes 1.5 times as long."""


End = Callable[[Sequence[BatchItem], Exception | None], None]
"""Called with the works that a thread has run together, and the exception of the kernel or None."""


class Batch(NamedTuple):
    """Works of one kernel call."""

    begun: int
    """Their number."""
    works: Sequence[BatchItem] | None
    """The items that have ended by now; None if a thread runs them."""
    failure: Exception | None


class Batcher(ABC):
    """Works that wait for a batch. The lifecycle starts its batches."""

    def __init__(self) -> None:
        self._steps: deque[BatchItem] = deque()
        self._sequences: deque[BatchItem] = deque()
        self.is_claimed = False
        """Whether a batch is running or is scheduled."""
        self.asks = False
        """Whether the scheduled batch waits for `GroupCommit`."""
        self.began_s = 0.0
        """When the last batch began, by the monotonic clock."""
        self.again = 0
        """Works in the queues whose sessions were in one of the last commit groups."""

    @property
    def waiting(self) -> int:
        """The number of works in the queues."""
        return len(self._steps) + len(self._sequences)

    @property
    def busy(self) -> bool:
        """Whether a work runs or waits."""
        return self.is_claimed or bool(self._steps or self._sequences)

    def add(self, work: BatchItem, *, again: bool) -> None:
        """Queue a work. `again` is whether its session was in one of the last commit groups."""
        self.again += again
        (self._steps if len(work.inputs) == 1 else self._sequences).append(work)

    @abstractmethod
    def start(self, most: int, end: End) -> Batch:
        """Run the next works, at most `most`, and return them, or how many run on a thread.

        `end` is called with the works of a thread when they have run, and with the exception of the kernel or None.
        """

    def keep_unfinished(self, works: Sequence[BatchItem], failure: Exception | None) -> list[BatchItem]:
        """Queue the works again that have steps left to run for a request that waits. Return the others."""
        ended: list[BatchItem] = []
        for work in works:
            if work.began and work.left and failure is None and work.goes_on:
                self._sequences.append(work)
                self.again += 1  # a commit need not wait for it
            else:
                ended.append(work)
        return ended

    def _take_all(self) -> list[BatchItem]:
        works = [*self._steps, *self._sequences]
        self._steps.clear()
        self._sequences.clear()
        return works


class SharedBatcher(Batcher):
    """The queue of cheap single steps of all models, which are run at once.

    With a model for each device nearly every step in a turn of the event loop has another model. In one batch they
    share the kernel call, if their networks are equal, and the commit group.
    """

    @staticmethod
    def most_rows(network: Network) -> int:
        """Return the most rows of a step of a network that is cheap; 0 if none is."""
        return 0 if network.network.whole_sequences else SHARED_FLOPS // max(1, network.flops)

    def has(self, network: Network) -> bool:
        """Return whether a step of this network waits."""
        return any([work.network is network for work in self._steps])  # noqa: C419  # a generator costs more

    def start(self, most: int, end: End) -> Batch:  # noqa: ARG002  # nothing runs on a thread
        """Run the next works, up to `PROMPT_FLOPS` of them, and return them."""
        works: list[BatchItem] = []
        try:
            works = self._next(most)
            self.again = max(0, self.again - len(works))
            run_single_steps(works)
        except Exception as error:  # no work was begun: their requests are refused, and the next batch is run
            return Batch(0, works or self._take_all(), error)
        return Batch(len(works), works, None)

    def _next(self, most: int) -> list[BatchItem]:
        taken: list[BatchItem] = []
        queue, left = self._steps, PROMPT_FLOPS
        while queue and left > 0 and len(taken) < min(most, MOST_STEPS):
            work = queue.popleft()
            taken.append(work)
            left -= work.rows * work.network.flops
        return taken


class MicroBatcher(Batcher):
    """The queues of one network, of single steps and of sequences, which take turns."""

    def __init__(self, network: Network, turns: ThreadShares, cost: CallCost) -> None:
        super().__init__()
        self.cost = cost
        self._network, self._flops = network, network.flops
        self._turns = turns
        self._account = ThreadShare()
        self._was_steps = False

    def start(self, most: int, end: End) -> Batch:
        """Run the next works, at most `most`: a short call at once, a longer one on a thread.

        `end` is called with the works of a thread when they have run, and with the exception of the kernel or None.
        """
        works: list[BatchItem] = []
        try:
            works = self._next(most)
            self.again = max(0, self.again - len(works))
            if not self.is_prompt(works):
                self._give_up_late(works)
                self._turns.run(
                    self._account,
                    partial(self._call, works, self._turns.executor),
                    partial(self._end_on_thread, works, end),
                )
                return Batch(len(works), None, None)
        except Exception as error:  # no work was begun: their requests are refused, and the next batch is run
            return Batch(0, works or self._take_all(), error)
        return Batch(len(works), works, self._run(works))

    def _run(self, works: Sequence[BatchItem]) -> Exception | None:
        """Run works, and return the exception that the kernel raised, if any."""
        try:
            if self.cost.is_measured and len(works) < MEASURED_ROWS:
                run_wanted(works, None)
            else:
                self._call(works, None)
        except Exception as error:
            return error
        return None

    def _end_on_thread(self, works: Sequence[BatchItem], end: End, ran: asyncio.Future[float]) -> None:
        error = Overloaded("the service is stopping") if ran.cancelled() else ran.exception()
        if error is not None and not isinstance(error, Exception):
            error = RuntimeError(f"the kernel raised {error!r}")
        end(works, error)

    def _call(self, works: Sequence[BatchItem], executor: Executor | None) -> float:
        """Run works, measure the call, and return its time in seconds."""
        began_s = monotonic()
        rows, steps = run_wanted(works, executor, self._most_steps(works))
        took_s = monotonic() - began_s
        if steps:
            self.cost.learn(rows, steps, took_s)
        return took_s

    def _most_steps(self, works: Sequence[BatchItem]) -> int:
        if self._was_steps:
            return CHUNK_STEPS
        return min(CHUNK_STEPS, self.cost.steps_a_call(sum([work.rows for work in works])))

    def _give_up_late(self, works: Sequence[BatchItem]) -> None:
        """End the requests of a call that would be answered after their deadline, unless one is alone."""
        if len(works) == 1 and not (self._steps or self._sequences):
            return
        steps = 1 if self._was_steps else max([work.steps for work in works])
        end_s = monotonic() + steps * self.cost.step_s(sum([work.rows for work in works]))
        for work in works:
            if not work.began:
                for request in work.requests:
                    request.end_if_late(end_s)

    def _next(self, most: int) -> list[BatchItem]:
        self._was_steps = bool(self._steps) and not (self._was_steps and self._sequences)
        queue = self._steps if self._was_steps else self._sequences
        sizes = self._network.network
        if sizes.whole_sequences:
            row_steps = most_row_steps(sizes)
            return _take_alike(queue, most, _left, lambda rows, steps: rows * steps <= row_steps)
        if self._was_steps:
            return _take_steps(queue, min(most, MOST_STEPS), self.cost.full_rows)
        return _take_alike(queue, most, _steps, lambda rows, _: rows <= MAX_ROWS)

    def is_prompt(self, works: Sequence[BatchItem]) -> bool:
        """Return whether the works take less time than waking a thread for them."""
        if self._network.network.whole_sequences:
            return False
        rows = sum([work.rows for work in works])
        steps = 1 if self._was_steps else max([work.steps for work in works])
        return steps <= PROMPT_STEPS and rows * steps * self._flops <= PROMPT_FLOPS


_left, _steps = attrgetter("left"), attrgetter("steps")


def _take_steps(queue: deque[BatchItem], most: int, most_rows: int) -> list[BatchItem]:
    """Take up to `most` single steps in their order, with up to `most_rows` rows; at least the first of the queue."""
    taken: list[BatchItem] = []
    rows = 0
    while queue and len(taken) < most and (not taken or rows + queue[0].rows <= most_rows):
        work = queue.popleft()
        taken.append(work)
        rows += work.rows
    return taken


def _take_alike(
    queue: deque[BatchItem], most: int, length: Callable[[BatchItem], int], fits: Callable[[int, int], bool]
) -> list[BatchItem]:
    """Take up to `most` works that may share a call: lengths within a factor of two, with rows and length that fit.

    Shorter rows are padded, so at most half of a call is waste. The first in the queue is always taken.
    """
    taken: list[BatchItem] = []
    left: list[BatchItem] = []
    rows = longest = 0
    while queue and len(taken) < most:
        work = queue.popleft()
        steps = length(work)
        alike = steps.bit_length() == longest.bit_length() and fits(rows + work.rows, max(longest, steps))
        if taken and not alike:
            left.append(work)
            continue
        taken.append(work)
        rows, longest = rows + work.rows, max(longest, steps)
    queue.extendleft(reversed(left))
    return taken
