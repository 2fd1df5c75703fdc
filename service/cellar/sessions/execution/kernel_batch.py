"""Runs steps of many sessions in one kernel call."""

from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import groupby

import numpy as np

from cellar.errors import CellarError, OutputNotFinite, StateNotFinite, StepFailed
from cellar.ports import DIGEST_BYTES, Floats, Mask, Position, RowFlags, SessionRecord
from cellar.sessions.execution.row_schedule import Ints, RowSchedule
from cellar.sessions.execution.scores import with_scores
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.values.model_protocol import Network, Run, Scorer, Sizes
from cellar.sessions.values.position import advance, each_digest
from cellar.sessions.values.row_flags import resets_only

CHUNK_STEPS = 512
"""The most steps of a sequence in one call, so that steps of other sessions wait for a chunk and not for a sequence."""

CALL_ROW_STEPS = 4096
"""The most steps times rows of one call: with many rows a chunk has fewer steps."""

WHOLE_NUMBERS = 32 * 1024 * 1024
"""The most intermediate numbers of one call on whole sequences, which cannot be divided: 128 MiB of scratch memory."""

_FLOAT32 = np.dtype("<f4")

BAD: dict[int, tuple[str, type[CellarError]]] = {
    1: ("would make a state infinite or NaN", StateNotFinite),
    2: ("would make an output infinite or NaN", OutputNotFinite),
    3: ("cannot be computed by the model", StepFailed),
}
"""The meaning of a network's `bad_kind`."""


_ITEM_FIELDS = (
    *("bad_kind", "bad_step", "began", "digests", "failure", "inputs", "left", "network"),
    *("offset", "outputs", "positions", "record", "requests", "reset", "rows", "schedule", "state"),
)


class BatchItem:
    """Steps to run on the state of one session: those of one request, or of several consecutive ones.

    It also holds the results until they are committed.
    """

    __slots__ = _ITEM_FIELDS

    def __init__(self, requests: list[StepRequest], record: SessionRecord, network: Network) -> None:
        self.requests = requests
        self.record = record
        self.network = network
        self.inputs = requests[0].inputs if len(requests) == 1 else np.concatenate([each.inputs for each in requests])
        self.left: int = self.inputs.shape[0]
        """The steps that are left to run."""
        self.rows: int = self.inputs.shape[1]
        """The rows of the next call."""
        self.schedule: RowSchedule | None = None
        """The calls of steps that some rows take no part in, or with resets inside; such a request runs alone."""
        self.reset: Mask | None = None
        """The rows that are reset before the next call. Only the first request may reset rows."""
        self.state = record.state
        """The state before the next call, of its rows; after the last call of all rows."""
        if requests[0].flags is not None:
            self._begin_with(requests[0].flags)
        self.began = False
        """Whether a kernel was called for it. If not, one of its requests was answered before, and no step was run."""
        self.failure: Exception | None = None
        """An error in the results of this work, which does not affect the others of the call."""
        self.positions: list[Position] = []
        """The positions after each of the requests."""
        self.digests: list[bytes] = []
        """For each request, the joined digests after each of its steps; of a single step, the digest after it."""
        self.outputs: list[bytes] = []
        self.offset = 0
        self.bad_step = -1
        """The first step with a number that is not finite, or -1; `bad_kind` is 1 for a state, 2 for an output."""
        self.bad_kind = 0

    @property
    def goes_on(self) -> bool:
        """Whether steps are left to run, and a request still waits for them."""
        return self.left > 0 and self.bad_step < 0 and self.failure is None and self.wanted

    @property
    def steps(self) -> int:
        """The steps of the next call, if the rows allow as many and sequences may be divided."""
        return min(self.left, CHUNK_STEPS)

    @property
    def wanted(self) -> bool:
        """Whether a request still waits for the result."""
        for request in self.requests:  # noqa: SIM110  # a generator costs more than the rest of the function
            if not request.done():
                return True
        return False

    def begins(self) -> bool:
        """Mark it as running, and return True, if each of its requests still waits and is within its deadline.

        Called on the kernel thread. If one request has ended, the deadlines of the others remain.
        """
        if not self.began:
            if len(self.requests) > 1 and any(request.done() for request in self.requests):
                return False
            for request in self.requests:
                if not request.starts():
                    return False
            self.began = True
        return True

    def note_position(self, chunk: Floats) -> None:
        """Compute the position after the chunk that was run, and the positions of requests that end inside it."""
        if len(self.requests) == 1 and self.requests[0].count == 1:
            before = self.positions[0] if self.offset else self.record.position
            flags = None if self.reset is None else self.reset.view(np.uint8)[None]
            self.positions = [advance(before, chunk, flags)]
        elif len(chunk) == self.left:  # several requests are always run in one call
            position = self.record.position
            for request in self.requests:
                if request.count == 1:
                    position = advance(position, request.inputs, request.flags)
                    digests = position.digest  # a batch of requests may have one step
                else:
                    digests = each_digest(position, request.inputs)
                    position = Position(position.epoch, position.step + request.count, digests[-DIGEST_BYTES:])
                self.positions.append(position)
                self.digests.append(digests)

    def _begin_with(self, flags: RowFlags) -> None:
        """Reset rows before the first call, or divide the steps into calls."""
        if resets_only(flags):
            self.reset = flags[0].view(np.bool_)
            return
        self.schedule = RowSchedule(self.inputs, flags, self.record.state)
        self.rows, self.state = self.schedule.rows, self.schedule.state

    def chunk(self, steps: int) -> Floats:
        """Return the inputs of the next call, (at most `steps`, rows, in_size)."""
        if self.schedule is not None:
            inputs, self.reset = self.schedule.begin(steps)
            return inputs
        if not self.offset and self.left <= steps:
            return self.inputs
        return self.inputs[self.offset : self.offset + steps]

    def take_scheduled(self, schedule: RowSchedule, run: Run, rows: slice) -> None:
        """Take the results of a call of the schedule, of which these rows are ours."""
        if run.bad_step is not None and run.bad_kind is not None:
            steps, kinds = run.bad_step[rows].tolist(), run.bad_kind[rows].tolist()
            bad = [(schedule.time_of(steps[row], row), kinds[row]) for row in range(self.rows) if steps[row] >= 0]
            self.bad_step, self.bad_kind = min(bad, default=(-1, 0))
        schedule.end(run.outputs[:, rows], run.state[rows])
        self.left, self.rows, self.state = schedule.left, schedule.rows, schedule.state
        if not self.left:
            self.state = schedule.whole_state
            self.outputs = [schedule.outputs.tobytes()]
            self.positions = [advance(self.record.position, self.inputs, self.requests[0].flags)]


def most_row_steps(sizes: Sizes) -> int:
    """Return the most rows times steps of one call on whole sequences."""
    return max(1, WHOLE_NUMBERS // sizes.row_numbers)


def run_wanted(works: Sequence[BatchItem], executor: Executor | None, most_steps: int = CHUNK_STEPS) -> tuple[int, int]:
    """Run the next chunk of every work that may run. Return the rows and steps of the call, (0, 0) for none.

    All have the same network.
    """
    some = [work for work in works if work.begins()]
    return run_together(some, executor, most_steps) if some else (0, 0)


def run_single_steps(works: Sequence[BatchItem]) -> None:
    """Run single steps of several networks on this thread, in a call for each code. An error fails its call alone."""
    calls: dict[int, list[BatchItem]] = {}
    for work in works:
        if work.begins():
            calls.setdefault(id(work.network.code or work.network), []).append(work)
    for call in calls.values():
        try:
            run_together(call, None)
        except Exception as error:
            for work in call:
                work.failure = error


def run_together(works: list[BatchItem], executor: Executor | None, most_steps: int = CHUNK_STEPS) -> tuple[int, int]:
    """Run the next chunk of every work in one call of at most `most_steps`, and store the results in the works.

    All have the same network, or without an executor the same code. Rows are independent, so each work gets the same
    bits as in a call of its own. Whole sequences are never divided. Return the rows and steps of the call.
    """
    network = works[0].network
    # a list is faster for a few
    of_several = executor is None and any([work.network is not network for work in works])  # noqa: C419
    if of_several:
        works.sort(key=_network_id)  # a model reads its weights once for all of its rows
    rows = sum([work.rows for work in works])
    whole = network.network.whole_sequences
    most = max([work.left for work in works]) if whole else min(most_steps, max(1, CALL_ROW_STEPS // rows))
    chunks = [work.chunk(most) for work in works]
    inputs, lengths = stack_chunks(chunks)
    before = tuple([work.state for work in works])
    reset = _reset(works)
    if reset is not None:
        lengths = _scheduled_lengths(works, chunks, lengths)
    if executor is not None:
        run = network.run(inputs, before, lengths, reset=reset, executor=executor)
    elif of_several and network.code is not None:
        run = network.code.run(_models(works), inputs, before, lengths, reset)
    else:
        run = network.advance(inputs, before, lengths, reset)
    _take_results(works, chunks, run)
    for work in works:
        if work.bad_step >= 0:
            _keep_good(work, executor)
    return inputs.shape[1], inputs.shape[0]


def _score(work: BatchItem, scorer: Scorer) -> None:
    """Add scores to the outputs of a work that has run; it has one request."""
    if work.bad_step < 0:
        flags, output = work.requests[0].flags, b"".join(work.outputs)
        work.outputs = [with_scores(scorer, work.record.state, work.inputs, output, flags)]


def _network_id(work: BatchItem) -> int:
    return id(work.network)


def _models(works: Sequence[BatchItem]) -> bytes:
    """Return the numbers of rows of each network, in order, as its code reads them."""
    return b"".join(
        [
            members[0].network.rows(sum([work.rows for work in members]))
            for _, group in groupby(works, _network_id)
            if (members := list(group))
        ]
    )


def _take_results(works: Sequence[BatchItem], chunks: Sequence[Floats], run: Run) -> None:
    """Store the results of a call in its works. An error in here is the failure of its work."""
    # slices of the bytes of all rows are faster than many array views
    states, state_bytes = run.state.tobytes(), run.state.itemsize * run.state.shape[1]
    outputs, output_bytes = (run.outputs.tobytes(), 4 * run.outputs.shape[2]) if len(run.outputs) == 1 else (b"", 0)
    row = 0
    for work, chunk in zip(works, chunks, strict=True):
        end, steps = row + work.rows, len(chunk)
        try:
            if work.schedule is None:
                work.note_position(chunk)
                work.outputs.append(
                    outputs[output_bytes * row : output_bytes * end]
                    if outputs
                    else run.outputs[:steps, row:end].tobytes()
                )
                if run.bad_step is not None and run.bad_kind is not None:
                    _note_bad(work, run.bad_step[row:end], run.bad_kind[row:end])
                work.state, work.reset = states[state_bytes * row : state_bytes * end], None
                work.offset += steps
                work.left -= steps
            else:
                work.take_scheduled(work.schedule, run, slice(row, end))
            if work.requests[0].scorer is not None and not work.left:
                _score(work, work.requests[0].scorer)
        except Exception as error:
            work.failure = error
        row = end


def _keep_good(work: BatchItem, executor: Executor | None) -> None:
    """Keep the requests before the one that gave a number that is not finite.

    They run again, to get the state after them. If there are none, the first request is the bad one. Requests of a step
    batch are not changed: the batch is divided later.
    """
    if any(request.count > 1 for request in work.requests):
        return
    ends = np.cumsum([len(request.inputs) for request in work.requests])
    good = int(np.searchsorted(ends, work.bad_step, side="right"))
    if not good:
        return
    again = BatchItem(work.requests[:good], work.record, work.network)
    again.began = True
    while again.left and again.failure is None:
        run_together([again], executor)
    for name in _ITEM_FIELDS:
        setattr(work, name, getattr(again, name))


def _reset(works: Sequence[BatchItem]) -> Mask | None:
    """Return the mask of the rows of the call that are reset, None if no row is."""
    if all([work.reset is None for work in works]):  # noqa: C419  # a generator costs twice as much
        return None
    return np.concatenate([np.zeros(work.rows, np.bool_) if work.reset is None else work.reset for work in works])


def _scheduled_lengths(works: Sequence[BatchItem], chunks: Sequence[Floats], lengths: Ints | None) -> Ints | None:
    """Return the length of each row of the call, given those of works without a schedule."""
    if all(work.schedule is None for work in works):
        return lengths
    return np.concatenate(
        [
            np.full(work.rows, len(chunk), np.int32) if work.schedule is None else work.schedule.lengths
            for work, chunk in zip(works, chunks, strict=True)
        ]
    )


def stack_chunks(chunks: Sequence[Floats]) -> tuple[Floats, Ints | None]:
    """Return the joined chunks (T, all rows, in_size), and the length of each row, None if all lengths are equal."""
    if len(chunks) == 1:
        return chunks[0], None
    sizes = [len(chunk) for chunk in chunks]
    longest = max(sizes)
    rows = [chunk.shape[1] for chunk in chunks]
    if longest == 1:  # the usual case, three times as fast as concatenating arrays
        data = b"".join(chunks)  # type: ignore[arg-type]  # arrays are buffers
        return np.ndarray((1, sum(rows), chunks[0].shape[2]), _FLOAT32, data), None
    if longest == min(sizes):
        return np.concatenate(chunks, axis=1), None
    inputs = np.zeros((longest, sum(rows), chunks[0].shape[2]), dtype=np.float32)
    row = 0
    for chunk in chunks:
        inputs[: len(chunk), row : row + chunk.shape[1]] = chunk
        row += chunk.shape[1]
    return inputs, np.repeat(np.array(sizes, dtype=np.int32), rows)


def _note_bad(
    work: BatchItem,
    steps: Ints,
    kinds: Ints,
) -> None:
    bad = [(int(step), int(kind)) for step, kind in zip(steps, kinds, strict=True) if step >= 0]
    if bad:
        step, work.bad_kind = min(bad)
        work.bad_step = work.offset + step
