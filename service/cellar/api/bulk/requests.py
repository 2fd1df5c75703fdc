"""The steps of a bulk request, read from lines of JSON or from frames."""

from collections.abc import AsyncIterator
from itertools import repeat
from time import monotonic
from typing import Any

from cellar.api.bulk.plain_lines import PlainLines
from cellar.api.bulk.steps import BulkStep
from cellar.api.decoding.steps.frame_record import command_of, identity_of
from cellar.api.decoding.steps.step_input import sequence_of_json, session_key, step_of_json
from cellar.api.http.body import decode_in_thread, validated
from cellar.api.limits.round_robin import RoundRobin
from cellar.api.schemas.session.steps import SequenceLine, StepLine
from cellar.errors import BodyTooLarge, CellarError, InvalidInput, Overloaded, TooManyFaults
from cellar.memory.request_memory import FRAME_TIMES, LEAST_MEMORY_BYTES, RequestMemory
from cellar.ports import APPEND, ROWS, Caller, Identity, StepCommand
from cellar.wire.frames import columns, frames
from cellar.wire.frames.splitter import FrameSplitter
from cellar.wire.json.document import decode
from cellar.wire.json.outline import outline

MOST_LINES = 256
"""Most lines of a part. A faulty line takes 50 microseconds, and a piece of a body may have a hundred thousand."""

PIECE_BYTES = 4 * 1024
"""Bytes of a body that are split into lines at a time."""

MOST_FAULTS = 256
"""Faulty lines in a row that end the request, because an error is many times longer than a short line."""


class LineReader:
    """Reads newline-delimited JSON. A faulty line is an error of its own step only."""

    def __init__(self, caller: Caller, max_bytes: int, memory: RequestMemory | None = None) -> None:
        self._tenant = caller.tenant
        self._memory = memory or RequestMemory(LEAST_MEMORY_BYTES)
        self._plain = PlainLines(caller.tenant, max_bytes)
        self._faults = 0
        """Faulty lines in a row."""

    @property
    def held_bytes(self) -> int:
        """Return the bytes of a line that is not complete."""
        return self._plain.held_bytes

    async def feed(self, data: bytes, turns: RoundRobin) -> AsyncIterator[list[BulkStep]]:
        """Yield complete lines in parts: at most MOST_LINES, and at most those that are read in one turn."""
        plain, part, until_s = self._plain, list[BulkStep](), turns.until_s()
        for start in range(0, len(data), PIECE_BYTES):
            plain.split(data[start : start + PIECE_BYTES])
            while True:
                if len(part) == MOST_LINES or monotonic() >= until_s:
                    if part:
                        yield part
                        part = []
                    until_s = await turns.turn()
                if plain.is_read:
                    break
                await self._read_into(part)
                if self._faults >= MOST_FAULTS:
                    yield part
                    raise TooManyFaults(f"{MOST_FAULTS} lines in a row could not be read; those behind them are not")
            if plain.too_long is not None:
                break
        if part:
            yield part
        if plain.too_long is not None:
            raise plain.too_long

    async def end(self) -> list[BulkStep]:
        """Return the last line, if it has no newline."""
        part: list[BulkStep] = []
        self._plain.end()
        if not self._plain.is_read:
            await self._read_into(part)
        return part

    async def _read_into(self, part: list[BulkStep]) -> None:
        """Add the steps of lines up to one that is not plain to a part, which has room."""
        before = len(part)
        line = self._plain.read(part, MOST_LINES)
        if len(part) > before:
            self._faults = 0
        if line is not None:
            part.append(await self._read(line))

    async def _read(self, line: bytes) -> BulkStep:
        tag = self._plain.next_tag()
        try:
            async with self._memory.room_for(len(line)):
                step = await decode_in_thread(len(line), _of_line, line, self._tenant, tag)
        except (BodyTooLarge, Overloaded) as fault:
            step = await decode_in_thread(len(line), _faulty, line, tag, fault)
        self._faults = 0 if step.fault is None else self._faults + 1
        return step


class FrameReader:
    """Reads frames. Each is a part."""

    def __init__(self, caller: Caller, max_bytes: int, memory: RequestMemory | None = None) -> None:
        self._tenant = caller.tenant
        self._memory = memory or RequestMemory(LEAST_MEMORY_BYTES)
        self._splitter = FrameSplitter(max_bytes)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of a frame that is not complete."""
        return self._splitter.held_bytes

    async def feed(self, data: bytes, turns: RoundRobin) -> AsyncIterator[list[BulkStep]]:
        """Yield the complete frames."""
        until_s = turns.until_s()
        for frame in self._splitter.feed(data):
            async with self._memory.room_for(len(frame), FRAME_TIMES):
                yield await decode_in_thread(len(frame), _of_frame, frame, self._tenant)
            if monotonic() >= until_s:
                until_s = await turns.turn()

    async def end(self) -> list[BulkStep]:
        """Return nothing. Raise MalformedBody for an incomplete frame."""
        self._splitter.end()
        return []


Reader = LineReader | FrameReader
"""Reads a body in pieces of any size, and yields its steps in parts that are run together."""


def _of_line(line: bytes, tenant: str, tag: int) -> BulkStep:
    try:
        document: Any = decode(line)
        if isinstance(document, dict) and "inputs" in document:
            sequence = validated(SequenceLine, document)
            key = session_key(tenant, sequence.session)
            return BulkStep(sequence.session, tag, sequence_of_json(sequence, key, sequence.key, sequence.deadline_s))
        step = validated(StepLine, document)
        key = session_key(tenant, step.session)
        return BulkStep(step.session, tag, step_of_json(step, key, step.key, step.deadline_s))
    except CellarError as fault:
        return _faulty(line, tag, fault)


def _faulty(line: bytes, tag: int, fault: CellarError) -> BulkStep:
    session = outline(line).members.get("session")
    return BulkStep(session if isinstance(session, str) else None, tag, None, fault)


def _of_frame(frame: bytes, tenant: str) -> list[BulkStep]:
    plain = columns.plain_steps(frame)
    if plain is None:
        return [_of_step(step, tenant) for step in frames.unpack_steps(frame)]
    try:
        return _of_plain(plain, tenant)
    except InvalidInput:  # a faulty name, which is an error of its own step only
        return [_of_step(step, tenant) for step in frames.unpack_steps(frame)]


def _of_plain(steps: columns.PlainSteps, tenant: str) -> list[BulkStep]:
    identities = repeat(APPEND) if steps.numbers is None else [Identity(step=number) for number in steps.numbers]
    return [
        BulkStep(
            session,
            tag,
            StepCommand(session_key(tenant, session), inputs, identity, False, None, "step", ROWS, "", True),
        )
        for session, tag, inputs, identity in zip(
            steps.sessions, steps.tags.tolist(), steps.inputs, identities, strict=False
        )
    ]


def _of_step(step: frames.Step, tenant: str) -> BulkStep:
    try:
        command = command_of(step, session_key(tenant, step.session), identity_of(step))
    except CellarError as fault:
        return BulkStep(step.session, step.tag, None, fault)
    return BulkStep(step.session, step.tag, command)
