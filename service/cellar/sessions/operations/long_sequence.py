"""Sequences of any length: they come chunk by chunk, and no more than a chunk is held.

Either each chunk is committed by itself, in order, or all of them at the end as one change. Where chunks begin is
decided by the request and the session alone, so a request that is sent again is cut as it was before.

Of a request that names the position where it begins, what the session has behind it is passed over: the digest of a
position is a chain over all inputs, so a body that leads to the session's own position is what led it there.
"""

import asyncio
from abc import ABC, abstractmethod
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
from cellar.ports import Committed, Identity, Position, SessionKey, SessionRecord
from cellar.sessions.requests.request import Edited
from cellar.sessions.scheduling.commit_builder import rows_to_reset
from cellar.sessions.service.sessions import Reset, Sessions
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import advance, fingerprint, parse_position
from cellar.sessions.values.results import Floats

CHUNK_STEPS = 4096
"""Steps of a chunk if nobody says otherwise: a commit for some milliseconds of work."""

CHUNK_NUMBERS = 256 * 1024
"""Inputs, or outputs, of a chunk at most, unless a single step has more: one MiB."""

_UNKNOWN = bytes(16)
"""The fingerprint of a body that is not known yet."""


class Ran(NamedTuple):
    """Steps of the body that have run: how many are before them, and their outputs (T, rows, out_size).

    `position` is where the session is then, None as long as they are not committed. Outputs of steps that were
    committed before are None if they are not known any more.
    """

    first: int
    steps: int
    outputs: Floats | None
    position: Position | None = None
    replayed: bool = False


class _Asked(NamedTuple):
    """What was asked for, and of whom."""

    sessions: Sessions
    key: SessionKey
    identity: Identity
    size: tuple[int, int]
    """(rows, in_size)"""
    chunk: int
    """How many steps are run together."""
    reset: Reset
    """Before the first step."""


class LongSequence(ABC):
    """A sequence on its way. Its errors are those of `Sessions.sequence`."""

    replayed: bool
    """Whether nothing was applied that had not been before."""

    def __init__(self, asked: _Asked, position: Position) -> None:
        self.size, self.chunk = asked.size, asked.chunk
        self.steps = 0
        """Steps of the body so far."""
        self.position = position
        """Where the session is known to be."""
        self._asked = asked
        self._reset: Reset = asked.reset
        """Before the next step."""

    @abstractmethod
    async def run(self, inputs: Floats) -> list[Ran]:
        """Run the next steps (T, rows, in_size): `chunk` of them, or fewer if they are the last."""

    @abstractmethod
    async def end(self) -> list[Ran]:
        """Say that those were all."""


async def begin(
    sessions: Sessions,
    key: SessionKey,
    identity: Identity,
    *,
    whole: bool = False,
    chunk: int = CHUNK_STEPS,
    reset: Reset = False,
) -> LongSequence:
    """Begin a long sequence, `whole` to be committed at its end. Rows are reset before its first step.

    Raise WholeSequencesOnly for a model that needs all steps at once, InvalidInput where a whole sequence cannot be,
    the PositionConflict that is certain already, or what `Sessions` raises of a session that is not there.
    """
    record, sizes, most = await sessions.look(key)
    if sizes.whole_sequences:
        raise WholeSequencesOnly(
            "the model reads each sequence from both ends, so it cannot take one chunk by chunk: send it to /sequence"
        )
    widest = record.meta.batch_size * max(sizes.in_size, sizes.out_size)
    steps = min(chunk, most, max(1, CHUNK_NUMBERS // widest))
    asked = _Asked(sessions, key, identity, (record.meta.batch_size, sizes.in_size), steps, reset)
    if not whole:
        return _ByChunk(asked, record.position)
    if record.meta.log:
        raise InvalidInput(
            "the session logs its inputs, and those of a sequence that is applied as a whole are not kept anywhere",
            pointer="/commit",
            expected="chunk",
            actual="all",
        )
    return _Whole(asked, record.position, await _start(sessions, key, identity))


async def _start(sessions: Sessions, key: SessionKey, identity: Identity) -> SessionRecord | None:
    """Return the session if a request may run on it, None if it may have been applied, which its end will tell."""
    try:
        found = await sessions.find(key, identity, _UNKNOWN)
    except (FingerprintMismatch, StepTaken):
        return None
    return None if isinstance(found, Committed) else found


class _ByChunk(LongSequence):
    """Each chunk is committed by itself."""

    def __init__(self, asked: _Asked, position: Position) -> None:
        super().__init__(asked, position)
        self.replayed = True
        self._chunks = 0
        self._at = asked.identity.position
        self._goal: Position | None = None
        """Where the session is, which must be reached before anything is run."""
        self._passed: list[tuple[Position, Floats, Reset]] = []
        """The last steps that were passed over, with where they began."""
        self._note(position)

    async def run(self, inputs: Floats) -> list[Ran]:
        """Commit the next steps."""
        ran: list[Ran] = []
        while True:
            count = self._pass_over(inputs)
            if count and self._goal is None:
                ran.append(Ran(0, self.steps, None, self._at, replayed=True))
            inputs = inputs[count:]
            await asyncio.sleep(0)  # what is only passed over waits for nothing else
            if not len(inputs):
                return ran
            try:
                return [*ran, await self._commit(inputs)]
            except PositionConflict as conflict:  # the same request may be under way a second time
                if not self._note(parse_position(conflict.position)):
                    raise

    async def end(self) -> list[Ran]:
        """Say that those were all."""
        _check_some(self.steps)
        if self._goal is None:
            return []
        self._at, inputs, self._reset = self._passed.pop()  # the session is further on: is this known to have been?
        self.steps -= len(inputs)
        last = await self._commit(inputs)
        return [Ran(0, self.steps, last.outputs if last.first == 0 else None, last.position, replayed=last.replayed)]

    def _note(self, now: Position) -> bool:
        """Note where the session is. Return whether it may have the next steps behind it."""
        at = self._at
        if at is None or self._asked.identity.position is None or self._asked.identity.key is not None:
            return False
        if now.epoch != at.epoch or now.step <= at.step:
            return False
        self._goal = self.position = now
        return True

    def _pass_over(self, inputs: Floats) -> int:
        """Return how many of the steps the session has behind it. Raise Diverged if they were others."""
        if self._goal is None or self._at is None:
            return 0
        count = min(len(inputs), self._goal.step - self._at.step)
        self._passed = [(self._at, inputs[:count], self._reset)]
        self._at = advance(self._at, inputs[:count], rows_to_reset(self._reset, inputs.shape[1]))
        self._reset = False
        self.steps += count
        if self._at.step == self._goal.step:
            if self._at != self._goal:
                detail = f"the session is at step {self._goal.step} with other inputs than these"
                raise Diverged(detail, position=str(self._goal))
            self._goal = None
        return count

    async def _commit(self, inputs: Floats) -> Ran:
        sessions, key = self._asked.sessions, self._asked.key
        answer = await sessions.submit(key, "sequence", inputs, self._identity(), reset=self._reset)
        ran = Ran(self.steps, len(inputs), answer.outputs, answer.position, answer.replayed)
        self.steps += len(inputs)
        self.position = self._at = answer.position
        self.replayed = self.replayed and answer.replayed
        self._chunks += 1
        self._reset = False
        return ran

    def _identity(self) -> Identity:
        """Return how the next chunk is recognised. But for a writer's, nothing may come between two of them."""
        asked = self._asked.identity
        if asked.writer is not None and asked.seq is not None:
            return Identity(writer=asked.writer, seq=asked.seq + self._chunks)
        key = None if asked.key is None else f"{blake2b(asked.key.encode(), digest_size=16).hexdigest()}.{self._chunks}"
        return asked._replace(key=key) if self._at is None else Identity(position=self._at, key=key)


class _Whole(LongSequence):
    """All is committed at the end, if the session is then where it was at the beginning."""

    def __init__(self, asked: _Asked, position: Position, start: SessionRecord | None) -> None:
        super().__init__(asked, position)
        self.replayed = False
        self._start = self._now = start
        self._body = blake2b(f"{asked.size} {asked.reset}".encode())

    async def run(self, inputs: Floats) -> list[Ran]:
        """Run the next steps, unless the request seems to have been applied before."""
        self._body.update(np.ascontiguousarray(inputs).data)
        first, self.steps = self.steps, self.steps + len(inputs)
        if self._now is None:
            return []
        attempt = await self._asked.sessions.attempt(self._now, inputs, reset=self._reset)
        self._now, self._reset = attempt.after, False
        outputs = np.frombuffer(b"".join(attempt.outputs), "<f4").reshape(len(inputs), self.size[0], -1)
        return [Ran(first, len(inputs), outputs)]

    async def end(self) -> list[Ran]:
        """Commit."""
        _check_some(self.steps)
        mark = fingerprint("sequence", names=f"whole {self.steps} {self._body.hexdigest()}")
        asked = self._asked
        done = await asked.sessions.change(asked.key, "sequence", asked.identity, mark, self._result)
        self.position, self.replayed = done.position, done.replayed
        return []

    def _result(self, record: SessionRecord, network: Network) -> Edited:  # noqa: ARG002
        start, now = self._start, self._now
        if start is None or now is None or record.position != start.position or record.meta.log:
            detail = "the session was changed while the sequence ran, of which nothing is applied: send all of it again"
            raise SessionMoved(detail, position=str(record.position))
        return Edited(now.state, steps=self.steps, after=now.position)


def _check_some(steps: int) -> None:
    if not steps:
        raise InvalidInput("a sequence without steps", expected="at least one step", actual="none")
