"""Runs a sequence of any length in chunks, and holds no more than one chunk in memory.

Either each chunk is committed by itself, in order, or all of them as one change at the end. The sizes of chunks depend
only on the request and the session, so a repeated request is divided into the same chunks.

If the request names the position where it begins, steps that the session has already applied are skipped without being
run. The digest of a position covers all inputs, so if the digest after the skipped inputs equals that of the session,
these are the inputs that the session has applied.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from cellar.errors import (
    Diverged,
    FingerprintMismatch,
    InvalidInput,
    PositionConflict,
    SessionMoved,
    StepTaken,
    WholeSequencesOnly,
)
from cellar.ports import (
    APPEND,
    Committed,
    Floats,
    Identity,
    Position,
    Reset,
    RowChoice,
    RowFlags,
    SessionKey,
    SessionRecord,
    StepCommand,
)
from cellar.sessions.requests.change_request import Edited
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Network, RowReader
from cellar.sessions.values.position import advance, fingerprint, parse_position
from cellar.sessions.values.row_flags import flags_of, is_of_each_step, place_rows

CHUNK_STEPS = 4096
"""The default number of steps in a chunk: some milliseconds of work for one commit."""

CHUNK_NUMBERS = 256 * 1024
"""The most inputs, or outputs, in a chunk of more than one step: one MiB."""

_UNKNOWN = bytes(16)
"""The fingerprint that is used while the body has not been read."""


class Ran(NamedTuple):
    """Steps of the body that were run or skipped: `first` is the number of steps before them.

    `outputs` are (T, rows, out_size), None if the steps were applied before and their outputs are no longer stored.
    `position` is that of the session after the steps, None if they are not committed yet.
    """

    first: int
    steps: int
    outputs: Floats | None
    position: Position | None = None
    replayed: bool = False
    model: str | None = None
    """The version that ran the steps, if the session follows an alias and the version is known."""


class Chunk(NamedTuple):
    """Steps of the body: inputs (T, rows, in_size), and the flags of each row in each step, None if no row has any."""

    inputs: Floats
    flags: RowFlags | None = None

    def from_step(self, step: int) -> "Chunk":
        """Return the steps from this one on."""
        return Chunk(self.inputs[step:], None if self.flags is None else self.flags[step:])

    def to_step(self, step: int) -> "Chunk":
        """Return the steps before this one."""
        return Chunk(self.inputs[:step], None if self.flags is None else self.flags[:step])


class _Request(NamedTuple):
    """The arguments of a long sequence, and the service that runs it."""

    sessions: Sessions
    key: SessionKey
    identity: Identity
    batch_size: int
    size: tuple[int, int]
    """(rows of the body, in_size)"""
    chunk: int
    """Steps of a chunk."""
    reset: Reset
    """The rows that are reset before the first step, or before each of the first steps."""
    reader: RowReader | None
    """Reads rows of readings; None if the inputs are plain numbers."""
    rows: RowChoice | None
    """The rows of the body and the steps of each of them; None: all rows take part in all steps."""


class LongSequence(ABC):
    """A sequence that is being run. Its methods raise as `Sessions.sequence`."""

    replayed: bool
    """Whether all steps so far had been applied before."""

    def __init__(self, request: _Request, position: Position) -> None:
        self.size, self.chunk = request.size, request.chunk
        self.reader = request.reader
        self.steps = 0
        """Steps of the body so far."""
        self.position = position
        """The last known position of the session."""
        self._request = request
        of_steps = is_of_each_step(request.reset)
        # a sequence has flags for each step
        self._resets: Sequence[Sequence[bool]] = request.reset if of_steps else ()  # type: ignore[assignment]
        """The rows that are reset before each of the first steps of the body."""
        self._reset: Reset = False if of_steps else request.reset
        """The rows that are reset before the next step."""

    @abstractmethod
    async def run(self, chunk: Chunk) -> list[Ran]:
        """Run the next steps: `chunk` of them, or fewer at the end of the body."""

    @abstractmethod
    async def end(self) -> list[Ran]:
        """Finish the sequence after its last step. Raise InvalidInput if it had none."""

    def _command(self, chunk: Chunk, identity: Identity = APPEND) -> StepCommand:
        """Return the command of the next steps."""
        rows, count, reset = self._request.rows, len(chunk.inputs), self._reset
        if resets := self._resets[self.steps : self.steps + count]:
            reset = [*resets, *[[False]] * (count - len(resets))]
        if rows is not None or chunk.flags is not None:
            numbers, lengths = (None, None) if rows is None else (rows.numbers, rows.lengths)
            if lengths is not None:
                lengths = [min(max(length - self.steps, 0), count) for length in lengths]
            rows = RowChoice(numbers, lengths, chunk.flags)
        return StepCommand(self._request.key, chunk.inputs, identity, reset, kind="sequence", rows=rows)

    def _all_rows(self, chunk: Chunk) -> Chunk:
        """Return the next steps with inputs and flags of all rows of the session. Raise InvalidInput."""
        command = self._command(chunk)
        inputs, flags = flags_of(command.inputs, command.reset, command.rows)
        if command.rows is not None and command.rows.numbers is not None:
            assert flags is not None
            return Chunk(*place_rows(inputs, flags, command.rows.numbers, self._request.batch_size))
        return Chunk(np.ascontiguousarray(inputs), flags)


async def begin(
    sessions: Sessions,
    key: SessionKey,
    identity: Identity,
    *,
    whole: bool = False,
    chunk: int = CHUNK_STEPS,
    reset: Reset = False,
    rows: RowChoice | None = None,
) -> LongSequence:
    """Begin a long sequence, which is committed at its end if `whole`.

    `reset` are the rows to reset before it, `rows` the rows of the body.

    Raise WholeSequencesOnly for a model that needs all steps at once, InvalidInput if the session does not allow
    `whole`, a PositionConflict that is already certain, or what `Sessions` raises for a session that does not exist.
    """
    record, sizes, most = await sessions.look(key)
    if sizes.whole_sequences:
        raise WholeSequencesOnly(
            "the model reads each sequence from both ends, so it cannot take one chunk by chunk: send it to /sequence"
        )
    widest = record.meta.batch_size * max(sizes.in_size, sizes.out_size)
    steps = min(chunk, most, max(1, CHUNK_NUMBERS // widest))
    batch_size = record.meta.batch_size
    count = batch_size if rows is None or rows.numbers is None else len(rows.numbers)
    request = _Request(
        sessions, key, identity, batch_size, (count, sizes.in_size), steps, reset, sizes.row_reader, rows
    )
    if not whole:
        return _ByChunk(request, record.position)
    if record.meta.log:
        raise InvalidInput(
            "the session has a log, and the inputs of a sequence that is applied as a whole cannot be logged",
            pointer="/commit",
            expected="chunk",
            actual="all",
        )
    return _Whole(request, record.position, await _start(sessions, key, identity))


async def _start(sessions: Sessions, key: SessionKey, identity: Identity) -> SessionRecord | None:
    """Return the session if the request can run on it, None if it may have been applied, which its end will show."""
    try:
        found = await sessions.find(key, identity, _UNKNOWN)
    except (FingerprintMismatch, StepTaken):
        return None
    return None if isinstance(found, Committed) else await sessions.follow(found)


class _ByChunk(LongSequence):
    """Each chunk is committed by itself."""

    def __init__(self, request: _Request, position: Position) -> None:
        super().__init__(request, position)
        self.replayed = True
        self._chunks = 0
        self._at = request.identity.position
        self._goal: Position | None = None
        """The position of the session if steps up to it are to be skipped, None if the next step is to be run."""
        self._skipped: list[tuple[Position, Chunk, Reset]] = []
        """The last steps that were skipped, with the position before them."""
        self._note(position)

    async def run(self, chunk: Chunk) -> list[Ran]:
        """Skip the next steps if they were applied before, and commit the others."""
        ran: list[Ran] = []
        while True:
            count = self._skip(chunk)
            if count and self._goal is None:
                ran.append(Ran(0, self.steps, None, self._at, replayed=True))
            chunk = chunk.from_step(count)
            await asyncio.sleep(0)  # a chunk that is only skipped awaits nothing else, so let other tasks run
            if not len(chunk.inputs):
                return ran
            try:
                return [*ran, await self._commit(chunk)]
            except PositionConflict as conflict:  # a second copy of this request may have committed these steps
                if not self._note(parse_position(conflict.position)):
                    raise

    async def end(self) -> list[Ran]:
        """Finish. If the session is ahead of the body, send the last chunk to find out whether it was applied."""
        _check_some(self.steps)
        if self._goal is None:
            return []
        self._at, chunk, self._reset = self._skipped.pop()
        self.steps -= len(chunk.inputs)
        last = await self._commit(chunk)
        outputs = last.outputs if last.first == 0 else None
        return [Ran(0, self.steps, outputs, last.position, last.replayed, last.model)]

    def _note(self, now: Position) -> bool:
        """Note the position of the session. Return whether the next steps may have been applied before."""
        at = self._at
        if at is None or self._request.identity.position is None or self._request.identity.key is not None:
            return False
        if now.epoch != at.epoch or now.step <= at.step:
            return False
        self._goal = self.position = now
        return True

    def _skip(self, chunk: Chunk) -> int:
        """Return how many of the steps are skipped because they were applied. Raise Diverged if others were applied."""
        if self._goal is None or self._at is None:
            return 0
        count = min(len(chunk.inputs), self._goal.step - self._at.step)
        skipped = chunk.to_step(count)
        self._skipped = [(self._at, skipped, self._reset)]
        self._at = advance(self._at, *self._all_rows(skipped))
        self._reset = False
        self.steps += count
        if self._at.step == self._goal.step:
            if self._at != self._goal:
                detail = f"the session has reached step {self._goal.step} with other inputs than these"
                raise Diverged(detail, position=str(self._goal))
            self._goal = None
        return count

    async def _commit(self, chunk: Chunk) -> Ran:
        steps = len(chunk.inputs)
        answer = await self._request.sessions.steps.submit(self._command(chunk, self._identity()))
        ran = Ran(self.steps, steps, answer.outputs, answer.position, answer.replayed, answer.model)
        self.steps += steps
        self.position = self._at = answer.position
        self.replayed = self.replayed and answer.replayed
        self._chunks += 1
        self._reset = False
        return ran

    def _identity(self) -> Identity:
        """Return the identity of the next chunk. Only chunks of a writer may be interleaved with other requests."""
        request = self._request.identity
        if request.writer is not None and request.seq is not None:
            return Identity(writer=request.writer, seq=request.seq + self._chunks)
        key = (
            None
            if request.key is None
            else f"{blake2b(request.key.encode(), digest_size=16).hexdigest()}.{self._chunks}"
        )
        return request._replace(key=key) if self._at is None else Identity(position=self._at, key=key)


class _Whole(LongSequence):
    """All steps are committed at the end, if the session has not changed since the beginning."""

    def __init__(self, request: _Request, position: Position, start: SessionRecord | None) -> None:
        super().__init__(request, position)
        self.replayed = False
        self._start = self._now = start
        rows = "" if request.rows is None else f" {request.rows.numbers} {request.rows.lengths}"
        self._body = blake2b(f"{request.size} {request.reset}{rows}".encode())

    async def run(self, chunk: Chunk) -> list[Ran]:
        """Run the next steps, unless the request may have been applied before."""
        steps = len(chunk.inputs)
        all_rows = self._all_rows(chunk)
        self._body.update(all_rows.inputs.data)
        if chunk.flags is not None:
            self._body.update(b"flags" + chunk.flags.tobytes())
        first, self.steps = self.steps, self.steps + steps
        if self._now is None:
            return []
        attempt = await self._request.sessions.attempt(self._now, *all_rows)
        self._now, self._reset = attempt.after, False
        outputs = np.frombuffer(b"".join(attempt.outputs), "<f4").reshape(steps, self._request.batch_size, -1)
        rows = self._request.rows
        chosen = outputs if rows is None or rows.numbers is None else outputs[:, rows.numbers]
        meta = self._now.meta
        return [Ran(first, steps, chosen, model=None if meta.following is None else meta.model)]

    async def end(self) -> list[Ran]:
        """Commit."""
        _check_some(self.steps)
        mark = fingerprint("sequence", names=f"whole {self.steps} {self._body.hexdigest()}")
        request = self._request
        done = await request.sessions.change(request.key, "sequence", request.identity, mark, self._result)
        self.position, self.replayed = done.position, done.replayed
        return []

    # the parameter of the protocol
    def _result(self, record: SessionRecord, network: Network) -> Edited:  # noqa: ARG002
        start, now = self._start, self._now
        moved = start is None or (record.position, record.meta.model) != (start.position, start.meta.model)
        if moved or now is None or record.meta.log:
            detail = "the session was changed while the sequence ran, so nothing was applied: send all of it again"
            raise SessionMoved(detail, position=str(record.position))
        return Edited(now.state, steps=self.steps, after=now.position)


def _check_some(steps: int) -> None:
    if not steps:
        raise InvalidInput("a sequence without steps", expected="at least one step", actual="none")
