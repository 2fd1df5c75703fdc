"""Micro-batching: rows of many sessions in one kernel call.

A batcher has no timer. When no kernel call runs, the steps that have come in this turn of the event loop run at its
end. Steps that come during a call, or before another commit may begin (`GroupCommit`), are the next batch. A batcher
has no task either, so an idle model costs nothing. Kernels run on threads of their own and release the GIL, unless a
call is shorter than the switch to a thread.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from cellar.errors import Overloaded
from cellar.sessions.execution.kernel_batch import CHUNK_STEPS, BatchItem, most_row_steps, run_wanted
from cellar.sessions.execution.thread_shares import ThreadShare, ThreadShares
from cellar.sessions.requests.call_cost import MAX_ROWS, CallCost
from cellar.sessions.requests.group_commit import GroupCommit
from cellar.sessions.values.model_protocol import Network

logger = logging.getLogger(__name__)

PROMPT_FLOPS = 4_000_000
"""A tenth of a millisecond: less than it takes to hand the works to a thread, and the results back, on a busy core."""

PROMPT_STEPS = 64
"""Of a work in such a call: each has a link of the digest's chain as well."""

MEASURED_ROWS = 8
"""Rows of a prompt call from which on it is measured. Of the smaller ones only the first is: a step alone is not to pay
for it."""

MOST_STEPS = 256
"""Single steps of one tick: the states and commits of a thousand do not fit into the processor's caches, and each step
takes half as long again."""

Finish = Callable[[Sequence[BatchItem], Exception | None], None]
"""Called with works that have run together, or did not begin, or with what the kernel raised."""


class MicroBatcher:
    """The queues of one network: single steps, and sequences, which take turns."""

    def __init__(self, network: Network, turns: ThreadShares, finish: Finish, group_commit: GroupCommit) -> None:
        self.cost = CallCost(network.flops)
        self._network = network
        self._turns = turns
        self._account = ThreadShare()
        self._finish = finish
        self._group_commit = group_commit
        self._steps: deque[BatchItem] = deque()
        self._sequences: deque[BatchItem] = deque()
        self._was_steps = False
        self._busy = False
        """Whether a tick is under way, or will come, and"""
        self._asks = False
        """whether it is yet to be allowed."""
        self._again = 0
        """Works in the queues whose sessions went with one of the last ticks, as if those went first."""

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits here."""
        return self._busy or bool(self._steps or self._sequences)

    def add(self, work: BatchItem, *, again: bool) -> None:
        """Queue the work. `finish` is called once it has run, or could not; never from in here.

        `again` says that its session went with one of the last ticks.
        """
        self._again += again
        (self._steps if len(work.inputs) == 1 else self._sequences).append(work)
        if not self._busy:
            self._go_on()
        elif self._asks:
            self._group_commit.more(again=again)

    def _go_on(self) -> None:
        self._busy = bool(self._steps or self._sequences)
        if self._busy:  # what else has come to this turn of the loop, and comes before the next, goes along
            asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        self._asks = True
        self._group_commit.ask(len(self._steps) + len(self._sequences), self._again, self._tick)

    def _tick(self, most: int) -> int:
        self._asks = False
        works: list[BatchItem] = []
        try:
            works = self._next(most)
            self._again = max(0, self._again - len(works))
            if not self._is_prompt(works):
                self._give_up_late(works)
                self._turns.run(self._account, partial(self._call, works), partial(self._end, works))
                return len(works)
        except Exception as error:  # nothing has begun: whoever waits is told, and what comes next is tried again
            self._tell(works or self._take_all(), error)
            return 0
        self._run(works)
        return len(works)

    def _take_all(self) -> list[BatchItem]:
        works = [*self._steps, *self._sequences]
        self._steps.clear()
        self._sequences.clear()
        return works

    def _run(self, works: Sequence[BatchItem]) -> None:
        """Run works that are done before a thread would have been woken for them."""
        try:
            if self.cost.is_measured and len(works) < MEASURED_ROWS:
                run_wanted(self._network, works, self._turns.executor)
            else:
                self._call(works)
        except Exception as error:
            self._tell(works, error)
        else:
            self._tell(works, None)

    def _call(self, works: Sequence[BatchItem]) -> float:
        """Run works, learn what it costs, and return how long it took."""
        began_s = monotonic()
        rows, steps = run_wanted(self._network, works, self._turns.executor, self._most_steps(works))
        took_s = monotonic() - began_s
        if steps:
            self.cost.learn(rows, steps, took_s)
        return took_s

    def _most_steps(self, works: Sequence[BatchItem]) -> int:
        if self._was_steps:
            return CHUNK_STEPS
        return min(CHUNK_STEPS, self.cost.steps_a_call(sum([work.rows for work in works])))

    def _give_up_late(self, works: Sequence[BatchItem]) -> None:
        """Give up the requests of a call that would be answered too late, unless nobody else waited with them.

        One that is alone was not held up by others: that its kernel begins in its time is enough.
        """
        if len(works) == 1 and not (self._steps or self._sequences):
            return
        steps = 1 if self._was_steps else max([work.steps for work in works])
        end_s = monotonic() + steps * self.cost.step_s(sum([work.rows for work in works]))
        for work in works:
            if not work.began:
                for request in work.requests:
                    request.end_if_late(end_s)

    def _end(self, works: Sequence[BatchItem], ran: asyncio.Future[float]) -> None:
        if ran.cancelled():  # the service has ended, and the threads with it
            return self._tell(works, Overloaded("the service is stopping"))
        error = ran.exception()
        if error is not None and not isinstance(error, Exception):
            error = RuntimeError(f"the kernel raised {error!r}")
        return self._tell(works, error)

    def _tell(self, works: Sequence[BatchItem], failure: Exception | None) -> None:
        """Hand over what has ended. Whatever went wrong belongs to those who wait for it, and to no other tick."""
        ended: list[BatchItem] = []
        for work in works:  # what nobody waits for any more goes no further
            if work.began and work.left and failure is None and work.goes_on:
                self._sequences.append(work)
                self._again += 1  # no tick gets any fuller by waiting for it
            else:
                ended.append(work)
        try:
            self._finish(ended, failure)
        except Exception:
            logger.exception("%d works that had run were not taken", len(ended))
        finally:
            self._go_on()

    def _next(self, most: int) -> list[BatchItem]:
        self._was_steps = bool(self._steps) and not (self._was_steps and self._sequences)
        queue = self._steps if self._was_steps else self._sequences
        sizes = self._network.network
        if sizes.whole_sequences:
            return _take_whole(queue, most, most_row_steps(sizes))
        if self._was_steps:
            return _take_steps(queue, min(most, MOST_STEPS), self.cost.rows_a_call(MAX_ROWS))
        return _take(queue, most)

    def _is_prompt(self, works: Sequence[BatchItem]) -> bool:
        """Return whether the works are done sooner than a thread would be woken for them."""
        if self._network.network.whole_sequences:
            return False
        rows = sum([work.rows for work in works])
        steps = 1 if self._was_steps else max([work.steps for work in works])
        return steps <= PROMPT_STEPS and rows * steps * self._network.flops <= PROMPT_FLOPS


def _take_steps(queue: deque[BatchItem], most: int, most_rows: int) -> list[BatchItem]:
    """Take `most` single steps in their order, up to so many rows. The first in the queue is always taken."""
    taken: list[BatchItem] = []
    rows = 0
    while queue and len(taken) < most and (not taken or rows + queue[0].rows <= most_rows):
        work = queue.popleft()
        taken.append(work)
        rows += work.rows
    return taken


def _take(queue: deque[BatchItem], most: int) -> list[BatchItem]:
    """Take `most` works that may share a call: up to MAX_ROWS rows, and lengths within a factor of two.

    Shorter rows are padded, so at most half of a call is waste. The first in the queue is always taken.
    """
    taken: list[BatchItem] = []
    left: list[BatchItem] = []
    rows = length = 0
    while queue and len(taken) < most and rows < MAX_ROWS:
        work = queue.popleft()
        if taken and (work.steps.bit_length() != length or rows + work.rows > MAX_ROWS):
            left.append(work)
            continue
        length = work.steps.bit_length()
        taken.append(work)
        rows += work.rows
    queue.extendleft(reversed(left))
    return taken


def _take_whole(queue: deque[BatchItem], most: int, row_steps: int) -> list[BatchItem]:
    """Take `most` whole sequences that may share a call: lengths within a factor of two, and so many rows times steps.

    The first in the queue is always taken.
    """
    taken: list[BatchItem] = []
    left: list[BatchItem] = []
    rows = longest = 0
    while queue and len(taken) < most:
        work = queue.popleft()
        length = max(longest, work.left)
        alike = not taken or work.left.bit_length() == taken[0].left.bit_length()
        if not alike or (taken and (rows + work.rows) * length > row_steps):
            left.append(work)
            continue
        longest = length
        taken.append(work)
        rows += work.rows
    queue.extend(left)
    return taken
