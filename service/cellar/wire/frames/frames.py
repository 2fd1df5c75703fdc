"""Reads and writes frames: many steps, or their answers, in one block of bytes that NumPy reads without a copy."""

from collections.abc import Iterable, Sequence
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
    OK,
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
    frame_bytes,
    join_blocks,
    name_from_latin_1,
    read_header,
)

MEDIA_TYPE = "application/vnd.cellar.frames"

_NOWHERE = bytes(8), 0, bytes(16)

MOST_BYTE = 255
"""The longest name whose length fits its field."""


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


def pack_steps(steps: Sequence[Step]) -> bytes:
    """Return a frame of steps, with inputs cast to float32. Raise struct.error for a value that does not fit."""
    records, numbers, text = [], [], []
    for one in steps:
        words = [(part or "").encode(errors="surrogateescape") for part in (one.session, one.writer, one.key)]
        sizes, long_names = tuple(map(len, words)), b""
        flags = SEQUENCE * one.sequence | POSITION * (one.position is not None) | NUMBER * (one.step is not None)
        flags |= SEQ * (one.seq is not None) | RESET * (one.reset is not None)
        flags |= ROW_FLAGS * (one.row_flags is not None) | ROW_NUMBERS * (one.numbers is not None)
        if max(sizes[:2]) > MOST_BYTE:
            flags, sizes, long_names = flags | LONG_NAMES, (0, 0, sizes[2]), LENGTHS.pack(*sizes[:2])
        epoch, at, digest = one.position or _NOWHERE
        at = at if one.step is None else one.step
        records.append(
            STEP.pack(one.tag, flags, *sizes, *one.inputs.shape, one.timeout_ms, epoch, at, digest, one.seq or 0)
        )
        numbers.append(np.ascontiguousarray(one.inputs, dtype="<f4").tobytes())
        text += [
            long_names,
            *words,
            one.reset or b"",
            one.row_flags or b"",
            np.array(one.numbers or (), "<u4").tobytes(),
        ]
    return join_blocks(Kind.STEPS, len(records), records, numbers, text)


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


def pack_answers(answers: Iterable[Answer]) -> bytes:
    """Return a frame of answers."""
    return join_answers([pack_answer(answer) for answer in answers])


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


def unpack_answers(frame: bytes) -> list[Answer]:
    """Return the answers of a frame; their outputs are read-only views of it. Raise MalformedBody."""
    records, numbers, text = blocks(frame, Kind.ANSWERS, ANSWER)
    answers: list[Answer] = []
    at = word = 0
    for record in ANSWER.iter_unpack(records):
        tag, status, flags, length, rows, features, problem, epoch, step, digest, version = record
        if flags >= 2 * NOT_KEPT:
            raise _impossible(len(answers), f"flags {flags:#x}")
        start, at = at, at + length * rows * features
        begin, word = word, word + problem
        if at > len(numbers) or word > len(text):
            raise _impossible(len(answers), "sizes that the frame does not hold")
        good = status == OK
        outputs = _shaped(numbers[start:at], length, rows, features) if good and not flags & NOT_KEPT else None
        position = Place(epoch, step, digest) if good else None
        said = text[begin:word].encode("latin-1")
        answers.append(Answer(tag, status, position, outputs, bool(flags & REPLAYED), said, version))
    _check_end(at, len(numbers), word, len(text))
    return answers


def pack_problem(document: bytes) -> bytes:
    """Return the frame that ends a stream of answers."""
    return join_blocks(Kind.PROBLEM, 0, (), (), (document,))


def unpack_problem(frame: bytes) -> bytes | None:
    """Return the problem document of a frame that ends a stream, None for any other frame. Raise MalformedBody."""
    if len(frame) < HEADER.size or len(frame) != frame_bytes(frame):
        raise MalformedBody("not a whole frame, or more than one")
    return frame[HEADER.size :] if read_header(frame)[0] == Kind.PROBLEM else None


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
