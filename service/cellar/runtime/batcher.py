"""Micro-batching: rows of many sessions in one kernel call.

A batcher is work-conserving and has no timer: when nothing runs, what has come runs at once; what comes meanwhile, or
while enough commits are on their way, is the next batch. Its one task owns the queue and ends when the queue is empty,
so an idle model costs nothing. Kernels run on their own threads and release the GIL, unless they are done in less time
than that takes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from cellar.ports import Position, SessionRecord
from cellar.runtime.answers import Floats, Mask
from cellar.runtime.lane import Lane, Request
from cellar.runtime.network import Network, Sizes
from cellar.runtime.positions import advance

MAX_ROWS = 1024
"""Rows of one call: enough to fill every register tile, few enough for a call of milliseconds."""

CHUNK_STEPS = 512
"""Steps of a sequence in one call at most: steps of other sessions wait for a chunk, not for a sequence."""

CALL_ROW_STEPS = 4096
"""Steps times rows of one call at most: with many rows a chunk has fewer steps."""

PROMPT_FLOPS = 4_000_000
"""A tenth of a millisecond: less than it takes to hand the works to a thread, and the results back, on a busy core."""

PROMPT_STEPS = 64
"""Of a work in such a call: each has a link of the digest's chain as well."""

WHOLE_NUMBERS = 32 * 1024 * 1024
"""Numbers made in one call on whole sequences, which cannot be cut: 128 MiB of scratch memory."""


class Work:
    """Steps to run on one session's state: those of one request, or of several that follow each other.

    What the kernel makes of them stays here until it is committed.
    """

    __slots__ = (
        "ahead",
        "bad_kind",
        "bad_step",
        "inputs",
        "lane",
        "offset",
        "outputs",
        "positions",
        "record",
        "requests",
        "reset",
        "state",
    )

    def __init__(self, lane: Lane, requests: Sequence[Request], record: SessionRecord) -> None:
        self.lane = lane
        self.requests = tuple(requests)
        self.record = record
        arrays = [request.inputs for request in requests if request.inputs is not None]
        self.inputs = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        self.reset = requests[0].reset
        """The rows that begin anew in the next call. Only the first request may ask for it."""
        self.state = record.state
        self.ahead = lane.ahead if lane.record is record else None
        self.positions: list[Position] = []
        """After each of the requests."""
        self.outputs: list[bytes] = []
        self.offset = 0
        self.bad_step = -1
        """The first step that was not finite in a row, with `bad_kind` as the kernels say it (1 state, 2 output)."""
        self.bad_kind = 0

    @property
    def rows(self) -> int:
        """The session's rows."""
        return int(self.inputs.shape[1])

    @property
    def finished(self) -> bool:
        """Whether no step is left to run: all are done, or one was bad."""
        return self.offset == self.inputs.shape[0] or self.bad_step >= 0

    @property
    def left(self) -> int:
        """How many steps are left to run."""
        return int(self.inputs.shape[0]) - self.offset

    @property
    def steps(self) -> int:
        """How many steps the next call takes, if its rows allow it and sequences may be cut."""
        return min(self.left, CHUNK_STEPS)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return any(not request.future.done() for request in self.requests)

    def note_position(self, chunk: Floats) -> None:
        """Go on to the position after the chunk that was run; where requests end inside it, note each of them."""
        if len(self.requests) == 1:
            before = self.positions[-1] if self.positions else self.record.position
            self.positions = [advance(before, chunk, self.reset)]
        elif len(chunk) == self.left:
            position = self.record.position
            for request in self.requests:
                assert request.inputs is not None
                position = advance(position, request.inputs, request.reset)
                self.positions.append(position)

    def chunk(self, steps: int) -> Floats:
        """Return the inputs of the next call, (at most `steps`, rows, in_size)."""
        return self.inputs[self.offset : self.offset + steps]


Finish = Callable[[Sequence[Work], Exception | None], None]
"""Called with works that have run together, or with what the kernel raised."""


class Batcher:
    """The queue of one network, and the task that owns it."""

    def __init__(
        self, network: Network, executor: Executor, finish: Finish, room: Callable[[], Awaitable[None]]
    ) -> None:
        self._network = network
        self._room = room
        self._executor = executor
        self._finish = finish
        self._steps: deque[Work] = deque()
        self._sequences: deque[Work] = deque()
        self._owner: asyncio.Task[None] | None = None

    def add(self, work: Work) -> None:
        """Queue the work. `finish` is called once it has run, or could not."""
        (self._steps if work.inputs.shape[0] == 1 else self._sequences).append(work)
        if self._owner is None:
            self._owner = asyncio.create_task(self._drain(), name="batcher")

    async def _drain(self) -> None:
        try:
            while self._steps or self._sequences:
                await self._room()
                await self._tick(self._take(self._steps))
                await self._tick(self._take(self._sequences))
        finally:
            self._owner = None

    def _take(self, queue: deque[Work]) -> list[Work]:
        sizes = self._network.network
        return _take_whole(queue, most_row_steps(sizes)) if sizes.whole_sequences else _take(queue)

    def _is_prompt(self, works: Sequence[Work]) -> bool:
        """Return whether the works are done sooner than a thread would be woken for them."""
        rows, steps = sum(work.rows for work in works), max(work.steps for work in works)
        if steps > PROMPT_STEPS or self._network.network.whole_sequences:
            return False
        return rows * steps * self._network.flops <= PROMPT_FLOPS

    async def _tick(self, works: Sequence[Work]) -> None:
        if not works:
            return None
        try:
            if self._is_prompt(works):
                run_together(self._network, works, self._executor)
                await asyncio.sleep(0)  # others get their turn
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._executor, run_together, self._network, works, self._executor)
        except Exception as error:
            return self._finish(works, error)  # whatever it is, it belongs to those who wait, and to no other tick
        ended: list[Work] = []
        for work in works:  # what nobody waits for any more goes no further
            (ended if work.finished or not work.wanted else self._sequences).append(work)
        return self._finish(ended, None)


def _take(queue: deque[Work]) -> list[Work]:
    """Take works that may share a call: up to MAX_ROWS rows, and lengths within a factor of two.

    Shorter rows are padded, so at most half of a call is waste. The first in the queue is always taken.
    """
    taken: list[Work] = []
    left: list[Work] = []
    rows = length = 0
    while queue and rows < MAX_ROWS:
        work = queue.popleft()
        if taken and (work.steps.bit_length() != length or rows + work.rows > MAX_ROWS):
            left.append(work)
            continue
        length = work.steps.bit_length()
        taken.append(work)
        rows += work.rows
    queue.extendleft(reversed(left))
    return taken


def _take_whole(queue: deque[Work], most: int) -> list[Work]:
    """Take whole sequences that may share a call: lengths within a factor of two, at most `most` rows times steps.

    The first in the queue is always taken.
    """
    taken: list[Work] = []
    left: list[Work] = []
    rows = longest = 0
    while queue:
        work = queue.popleft()
        length = max(longest, work.left)
        alike = not taken or work.left.bit_length() == taken[0].left.bit_length()
        if not alike or (taken and (rows + work.rows) * length > most):
            left.append(work)
            continue
        longest = length
        taken.append(work)
        rows += work.rows
    queue.extend(left)
    return taken


def most_row_steps(sizes: Sizes) -> int:
    """Return how many rows times steps of whole sequences one call may have."""
    return max(1, WHOLE_NUMBERS // sizes.row_numbers)


def run_together(network: Network, works: Sequence[Work], executor: Executor | None = None) -> None:
    """Run the next chunk of every work in one call, and write what came of it into the works.

    All have the same network; their rows are independent, so each gets the bits that it would get alone.
    """
    rows = sum(work.rows for work in works)
    whole = network.network.whole_sequences
    most = max(work.left for work in works) if whole else min(CHUNK_STEPS, max(1, CALL_ROW_STEPS // rows))
    chunks = [work.chunk(most) for work in works]
    state = tuple([work.state for work in works])
    inputs, lengths = _stack(chunks)
    run = network.run(inputs, state, lengths, ahead=_ahead(works), reset=_reset(works), executor=executor)
    row = 0
    states, outputs = _Rows(run.state), _Rows(run.outputs[0]) if len(inputs) == 1 else None
    for work, chunk in zip(works, chunks, strict=True):
        end = row + work.rows
        work.note_position(chunk)
        work.state, work.ahead, work.reset = states.between(row, end), None, None
        work.outputs.append(outputs.between(row, end) if outputs else run.outputs[: len(chunk), row:end].tobytes())
        if run.bad_step is not None and run.bad_kind is not None:
            _note_bad(work, run.bad_step[row:end], run.bad_kind[row:end])
        work.offset += len(chunk)
        row = end
    for work in works:
        if work.bad_step >= 0:
            _keep_good(network, work, executor)


class _Rows:
    """The bytes of some rows of an array (B, size): cut from those of all, which is faster than of many views."""

    def __init__(self, array: Floats) -> None:
        self._bytes = array.tobytes()
        self._size = array.itemsize * array.shape[1]

    def between(self, begin: int, end: int) -> bytes:
        """Return those from a row to before another one."""
        return self._bytes[self._size * begin : self._size * end]


def _keep_good(network: Network, work: Work, executor: Executor | None) -> None:
    """Keep, of requests that ran together, those before the one that made a number that is not finite.

    They run again, for the state behind them. If there are none the first request is the bad one.
    """
    ends = np.cumsum([len(request.inputs) for request in work.requests if request.inputs is not None])
    good = int(np.searchsorted(ends, work.bad_step, side="right"))
    if not good:
        return
    again = Work(work.lane, work.requests[:good], work.record)
    while not again.finished:
        run_together(network, [again], executor)
    for name in Work.__slots__:
        setattr(work, name, getattr(again, name))


def _ahead(works: Sequence[Work]) -> Floats | None:
    """Return what was computed ahead for all rows, if it was for every work."""
    found = [work.ahead for work in works if work.ahead is not None]
    if len(found) < len(works):
        return None
    return found[0] if len(found) == 1 else np.concatenate(found)


def _reset(works: Sequence[Work]) -> Mask | None:
    """Return which rows of all begin anew, None if none does."""
    if all(work.reset is None for work in works):
        return None
    return np.concatenate([np.zeros(work.rows, np.bool_) if work.reset is None else work.reset for work in works])


def _stack(chunks: Sequence[Floats]) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int32]] | None]:
    """Return the chunks side by side, (T, rows of all, in_size), and the length of each row; None if all are equal."""
    if len(chunks) == 1:
        return chunks[0], None
    sizes = [len(chunk) for chunk in chunks]
    longest = max(sizes)
    if longest == min(sizes):
        return np.concatenate(chunks, axis=1), None
    rows = [chunk.shape[1] for chunk in chunks]
    inputs = np.zeros((longest, sum(rows), chunks[0].shape[2]), dtype=np.float32)
    row = 0
    for chunk in chunks:
        inputs[: len(chunk), row : row + chunk.shape[1]] = chunk
        row += chunk.shape[1]
    return inputs, np.repeat(np.array(sizes, dtype=np.int32), rows)


def _note_bad(
    work: Work, steps: np.ndarray[tuple[int], np.dtype[np.int32]], kinds: np.ndarray[tuple[int], np.dtype[np.int32]]
) -> None:
    bad = [(int(step), int(kind)) for step, kind in zip(steps, kinds, strict=True) if step >= 0]
    if bad:
        step, work.bad_kind = min(bad)
        work.bad_step = work.offset + step
