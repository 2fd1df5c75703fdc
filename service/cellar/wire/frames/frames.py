"""Reads and writes frames: many steps, or their answers, in one block of bytes that NumPy reads without a copy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cellar.errors import MalformedBody
from cellar.wire.frames.layout import (
    ANSWER,
    HEADER,
    LENGTHS,
    LONG_NAMES,
    NOT_KEPT,
    NUMBER,
    POSITION,
    REPLAYED,
    RESET,
    ROW_FLAGS,
    ROW_NUMBERS,
    SEQ,
    SEQUENCE,
    STEP,
    Floats,
    Kind,
    blocks,
    join_blocks,
    name_from_latin_1,
)

MEDIA_TYPE = "application/vnd.cellar.frames"

_NOWHERE = bytes(8), 0, bytes(16)


class Place(NamedTuple):
    """A position in parts: an epoch of 8 bytes, a step and a digest of 16 bytes. Its text is the position in JSON."""

    epoch: bytes
    step: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.epoch.hex()}.{self.step}.{self.digest.hex()}"


class Step(NamedTuple):
    """A step, or a sequence of steps, of one session. `inputs` is (T, rows, in_size).

    The answer repeats `tag`. `reset` has a byte for each row, 1 for a row that is reset before the first step, and
    `row_flags` one for each row of each step: 1 for a row that is reset, 2 for one that is left out. `numbers` are the
    numbers of the rows, if not all rows of the session are there. A `timeout_ms` of 0 means no timeout.
    """

    session: str
    inputs: Floats
    sequence: bool = False
    tag: int = 0
    position: Place | None = None
    step: int | None = None
    writer: str | None = None
    seq: int | None = None
    key: str | None = None
    reset: bytes | None = None
    timeout_ms: int = 0
    row_flags: bytes | None = None
    numbers: Sequence[int] | None = None


class Answer(NamedTuple):
    """The answer to a step: status 200 with the position and the outputs (T, rows, out_size), or a problem.

    `outputs` is None in a repeated answer whose output was not stored. `problem` is the JSON document of the error.
    """

    tag: int
    status: int
    position: Place | None = None
    outputs: Floats | None = None
    replayed: bool = False
    problem: bytes = b""
    version: int = 0
    """Number of the version that ran the step, if the session follows an alias and the version is known, else 0."""


def unpack_steps(frame: bytes) -> list[Step]:
    """Return the steps of a frame; their inputs are read-only views of it. Raise MalformedBody.

    Names and numbers are not checked, because a fault in them is a fault of the step and not of the frame.
    """
    records, numbers, text = blocks(frame, Kind.STEPS, STEP)
    steps: list[Step] = []
    at = word = 0
    for (
        tag, flags, session_byte, writer_byte, key, length, rows, features, timeout_ms, epoch, step, digest, seq,
    ) in STEP.iter_unpack(records):  # fmt: skip
        session, writer = session_byte, writer_byte
        if flags >= LONG_NAMES:
            session, writer, word = _long_names(text, word)
        start, at = at, at + length * rows * features
        name, word = word, word + session + writer + key
        rest, word = word, word + _rest(flags, length, rows)
        if at > len(numbers) or word > len(text):
            raise _impossible(len(steps), "sizes that the frame does not hold")
        after = name + session + writer
        steps.append(
            Step(
                name_from_latin_1(text[name : name + session]),
                _shaped(numbers[start:at], length, rows, features),
                flags & SEQUENCE == SEQUENCE,
                tag,
                Place(epoch, step, digest) if flags & POSITION else None,
                step if flags & NUMBER else None,
                name_from_latin_1(text[name + session : after]) if writer else None,
                seq if flags & SEQ else None,
                text[after:rest] if key else None,
                text[rest : rest + rows].encode("latin-1") if flags & RESET else None,
                timeout_ms,
                *(_rows_of(flags, text[rest:word], length, rows) if flags >= ROW_FLAGS else ()),
            )
        )
    _check_end(at, len(numbers), word, len(text))
    return steps


class Packed(NamedTuple):
    """The parts of answers in the three blocks of a frame."""

    answers: int
    records: bytes
    numbers: bytes
    text: bytes


def pack_answer(answer: Answer) -> Packed:
    """Return the parts of an answer in a frame."""
    tag, status, position, outputs, replayed, problem, version = answer
    flags = REPLAYED * replayed | NOT_KEPT * (outputs is None and position is not None)
    shape, numbers = ((0, 0, 0), b"") if outputs is None else (outputs.shape, outputs.tobytes())
    epoch, step, digest = position or _NOWHERE
    record = ANSWER.pack(tag, status, flags, *shape, len(problem), epoch, step, digest, version)
    return Packed(1, record, numbers, problem)


def join_answers(parts: Sequence[Packed]) -> bytes:
    """Return the frame of these answers, in their order."""
    counts, records, numbers, text = zip(*parts, strict=True) if parts else ((), (), (), ())
    return join_blocks(Kind.ANSWERS, sum(counts), records, numbers, text)


def pack_problem(document: bytes) -> bytes:
    """Return the frame that ends a stream of answers."""
    return join_blocks(Kind.PROBLEM, 0, (), (), (document,))


def _rest(flags: int, length: int, rows: int) -> int:
    """Return how many bytes of text a step has behind its names."""
    each = bool(flags & RESET) + length * bool(flags & ROW_FLAGS) + 4 * bool(flags & ROW_NUMBERS)
    return rows * each


def _rows_of(flags: int, text: str, length: int, rows: int) -> tuple[bytes | None, list[int] | None]:
    """Return the flags of rows and the numbers of rows in the text of a step behind its names."""
    data = text.encode("latin-1")[rows if flags & RESET else 0 :]
    row_flags = data[: length * rows] if flags & ROW_FLAGS else None
    numbers = np.frombuffer(data[-4 * rows :], "<u4").tolist() if flags & ROW_NUMBERS and rows else None
    return row_flags, numbers


def _long_names(text: str, at: int) -> tuple[int, int, int]:
    """Return the lengths of two names that stand at an offset in the text, and the offset behind them."""
    lengths = text[at : at + LENGTHS.size].encode("latin-1")
    session, writer = LENGTHS.unpack(lengths.ljust(LENGTHS.size, b"\0"))
    return session, writer, at + LENGTHS.size


def _shaped(numbers: Floats, *shape: int) -> Floats:
    # without numbers the sizes may be arbitrary, so that NumPy could not create the array
    return numbers.reshape(shape if len(numbers) else (0, 0, 0))


def _impossible(number: int, what: str) -> MalformedBody:
    return MalformedBody(f"record {number} has {what}", offset=HEADER.size + number * STEP.size)


def _check_end(at: int, numbers: int, word: int, text: int) -> None:
    if (at, word) != (numbers, text):
        raise MalformedBody(f"{numbers - at} numbers and {text - word} bytes of text belong to no record")
