"""Frames: many steps, or their answers, in one run of bytes that NumPy reads where it lies.

A frame is a header, then records of one size, then all numbers in one block, then all text. Everything is little
endian and nothing is padded: records and numbers stand at multiples of eight and four bytes. `docs/reference/frames.md`
gives the layout to those who write another client.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.errors import BodyTooLarge, MalformedBody

Floats = NDArray[np.float32]

MEDIA_TYPE = "application/vnd.cellar.frames"
MAGIC = b"Cell"
VERSION = 1

Fields = tuple[tuple[str, str], ...]

HEADER_FIELDS: Fields = (
    ("magic", "4s"),
    ("version", "B"),
    ("kind", "B"),
    ("zero", "H"),
    ("records", "I"),
    ("numbers", "I"),
    ("text", "I"),
    ("nothing", "I"),
)
_SHAPE: Fields = (("steps", "I"), ("rows", "I"), ("features", "I"))
_PLACE: Fields = (("epoch", "8s"), ("step", "Q"), ("digest", "16s"))
STEP_FIELDS: Fields = (
    ("tag", "I"),
    ("flags", "B"),
    ("session", "B"),
    ("writer", "B"),
    ("key", "B"),
    *_SHAPE,
    ("timeout_ms", "I"),
    *_PLACE,
    ("seq", "Q"),
)
ANSWER_FIELDS: Fields = (
    ("tag", "I"),
    ("status", "H"),
    ("flags", "H"),
    *_SHAPE,
    ("problem", "I"),
    *_PLACE,
    ("nothing", "Q"),
)


def _struct(fields: Fields) -> Struct:
    return Struct("<" + "".join(code for _, code in fields))


HEADER, STEP, ANSWER = _struct(HEADER_FIELDS), _struct(STEP_FIELDS), _struct(ANSWER_FIELDS)


class Kind(IntEnum):
    """What the records of a frame are."""

    STEPS = 1
    ANSWERS = 2
    PROBLEM = 3
    """No record, and one problem document for a text: what ends a stream of answers before its time."""


KINDS = frozenset(map(int, Kind))


SEQUENCE, POSITION, NUMBER, SEQ, RESET = 1, 2, 4, 8, 16
"""Flags of a step: it is a sequence; its position, its step, its seq count; a reset stands behind its words."""

REPLAYED, NOT_KEPT = 1, 2
"""Flags of an answer: it was applied before; its output is not known any more."""

OK = 200

MAX_RECORDS = 4096
"""Of a frame on its way in: they are read in one go, in some ten milliseconds."""

_NOWHERE = bytes(8), 0, bytes(16)


class Place(NamedTuple):
    """A position in parts: 8 bytes, a number and 16 bytes. As text it is what JSON has."""

    epoch: bytes
    step: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.epoch.hex()}.{self.step}.{self.digest.hex()}"


class Step(NamedTuple):
    """A step, or a sequence of steps, of one session. `inputs` is (T, rows, in_size).

    `tag` is carried back by the answer. `reset` has a byte for each row, 1 where the row begins anew. A `timeout_ms` of
    0 is none.
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


class Answer(NamedTuple):
    """What became of a step: status 200, the position after it and the outputs (T, rows, out_size); else a problem.

    `outputs` is None in a replay whose output was not kept. `problem` is the JSON document of the error.
    """

    tag: int
    status: int
    position: Place | None = None
    outputs: Floats | None = None
    replayed: bool = False
    problem: bytes = b""


def pack_steps(steps: Sequence[Step]) -> bytes:
    """Return a frame of steps, their inputs cast to float32. Raise struct.error for what no record can hold."""
    records, numbers, text = [], [], []
    for one in steps:
        words = [(part or "").encode("latin-1") for part in (one.session, one.writer, one.key)]
        flags = SEQUENCE * one.sequence | POSITION * (one.position is not None) | NUMBER * (one.step is not None)
        flags |= SEQ * (one.seq is not None) | RESET * (one.reset is not None)
        epoch, at, digest = one.position or _NOWHERE
        at = at if one.step is None else one.step
        sizes = map(len, words)
        records.append(
            STEP.pack(one.tag, flags, *sizes, *one.inputs.shape, one.timeout_ms, epoch, at, digest, one.seq or 0)
        )
        numbers.append(np.ascontiguousarray(one.inputs, dtype="<f4").tobytes())
        text += [*words, one.reset or b""]
    return _frame(Kind.STEPS, len(records), records, numbers, text)


def unpack_steps(frame: bytes) -> list[Step]:
    """Return the steps of a frame; their inputs are read-only and lie in it. Raise MalformedBody.

    Neither words nor numbers are checked: what is wrong with them is a fault of the step, not of the frame.
    """
    records, numbers, text = blocks(frame, Kind.STEPS, STEP)
    steps: list[Step] = []
    at = word = 0
    for (
        tag,
        flags,
        session,
        writer,
        key,
        length,
        rows,
        features,
        timeout_ms,
        epoch,
        step,
        digest,
        seq,
    ) in STEP.iter_unpack(records):
        if flags >= 2 * RESET:
            raise _impossible(len(steps), f"flags {flags:#x}")
        start, at = at, at + length * rows * features
        name, word = word, word + session + writer + key + (rows if flags & RESET else 0)
        if at > len(numbers) or word > len(text):
            raise _impossible(len(steps), "sizes that the frame does not hold")
        after = name + session + writer
        steps.append(
            Step(
                text[name : name + session],
                _shaped(numbers[start:at], length, rows, features),
                flags & SEQUENCE == SEQUENCE,
                tag,
                Place(epoch, step, digest) if flags & POSITION else None,
                step if flags & NUMBER else None,
                text[name + session : after] if writer else None,
                seq if flags & SEQ else None,
                text[after : after + key] if key else None,
                text[after + key : word].encode("latin-1") if flags & RESET else None,
                timeout_ms,
            )
        )
    _check_end(at, len(numbers), word, len(text))
    return steps


def pack_answers(answers: Iterable[Answer]) -> bytes:
    """Return a frame of answers."""
    return join_answers([pack_answer(answer) for answer in answers])


class Packed(NamedTuple):
    """Answers as they stand in the three blocks of a frame."""

    answers: int
    records: bytes
    numbers: bytes
    text: bytes


def pack_answer(answer: Answer) -> Packed:
    """Return an answer as it stands in a frame."""
    tag, status, position, outputs, replayed, problem = answer
    flags = REPLAYED * replayed | NOT_KEPT * (outputs is None and position is not None)
    shape, numbers = ((0, 0, 0), b"") if outputs is None else (outputs.shape, outputs.tobytes())
    epoch, step, digest = position or _NOWHERE
    record = ANSWER.pack(tag, status, flags, *shape, len(problem), epoch, step, digest, 0)
    return Packed(1, record, numbers, problem)


def join_answers(parts: Sequence[Packed]) -> bytes:
    """Return the frame of all these answers, in their order."""
    counts, records, numbers, text = zip(*parts, strict=True) if parts else ((), (), (), ())
    return _frame(Kind.ANSWERS, sum(counts), records, numbers, text)


def unpack_answers(frame: bytes) -> list[Answer]:
    """Return the answers of a frame; their outputs are read-only and lie in it. Raise MalformedBody."""
    records, numbers, text = blocks(frame, Kind.ANSWERS, ANSWER)
    answers: list[Answer] = []
    at = word = 0
    for record in ANSWER.iter_unpack(records):
        tag, status, flags, length, rows, features, problem, epoch, step, digest, nothing = record
        if flags >= 2 * NOT_KEPT or nothing:
            raise _impossible(len(answers), f"flags {flags:#x}")
        start, at = at, at + length * rows * features
        begin, word = word, word + problem
        if at > len(numbers) or word > len(text):
            raise _impossible(len(answers), "sizes that the frame does not hold")
        good = status == OK
        outputs = _shaped(numbers[start:at], length, rows, features) if good and not flags & NOT_KEPT else None
        position = Place(epoch, step, digest) if good else None
        said = text[begin:word].encode("latin-1")
        answers.append(Answer(tag, status, position, outputs, bool(flags & REPLAYED), said))
    _check_end(at, len(numbers), word, len(text))
    return answers


def pack_problem(document: bytes) -> bytes:
    """Return the frame that ends a stream of answers."""
    return _frame(Kind.PROBLEM, 0, (), (), (document,))


def unpack_problem(frame: bytes) -> bytes | None:
    """Return the problem document of a frame that ends a stream, None of any other frame. Raise MalformedBody."""
    if len(frame) < HEADER.size or len(frame) != _size(frame):
        raise MalformedBody("not a whole frame, or more than one")
    return frame[HEADER.size :] if _read_header(frame)[0] == Kind.PROBLEM else None


class FrameSplitter:
    """Cuts a stream of bytes, in pieces of any size, into frames.

    No frame may have over `max_bytes`, nor over MAX_RECORDS records.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held = bytearray()

    @property
    def held_bytes(self) -> int:
        """Return how much has come of what is not all there."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and yield the frames that are whole now; behind them, raise MalformedBody or BodyTooLarge.

        A size is believed only once it is known to be within the limit, so no more than that is ever held.
        """
        self._held += data
        while len(self._held) >= HEADER.size:
            size = _size(self._held)
            records = _read_header(self._held)[1]
            if records > MAX_RECORDS:
                raise BodyTooLarge(f"a frame may have {MAX_RECORDS} records, this one has {records}")
            if size > self._max:
                raise BodyTooLarge(f"a frame may have {self._max} bytes (CELLAR_MAX_BODY_BYTES), this one has {size}")
            if len(self._held) < size:
                break
            frame = bytes(self._held[:size])
            del self._held[:size]
            yield frame

    def end(self) -> None:
        """Say that no more bytes come. Raise MalformedBody if a frame has begun."""
        if self._held:
            raise MalformedBody(f"the body ends inside a frame, after {len(self._held)} bytes of it")


def _frame(kind: Kind, count: int, records: Sequence[bytes], numbers: Sequence[bytes], text: Sequence[bytes]) -> bytes:
    sizes = sum(map(len, numbers)) // 4, sum(map(len, text))
    return b"".join((HEADER.pack(MAGIC, VERSION, kind, 0, count, *sizes, 0), *records, *numbers, *text))


def _read_header(data: bytes | bytearray) -> tuple[int, int, int, int]:
    """Return kind and how many records, numbers and bytes of text follow. Raise MalformedBody."""
    magic, version, kind, zero, records, numbers, text, nothing = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MalformedBody("not a frame: it does not begin with `Cell`", offset=0)
    if version != VERSION:
        raise MalformedBody(f"a frame of version {version}; this service reads {VERSION}", offset=4)
    if zero or nothing or kind not in KINDS:
        raise MalformedBody("a frame of an unknown kind", offset=5)
    return kind, records, numbers, text


def _size(data: bytes | bytearray) -> int:
    return _whole(*_read_header(data)[1:])


def _whole(records: int, numbers: int, text: int) -> int:
    return HEADER.size + STEP.size * records + 4 * numbers + text


def blocks(frame: bytes, kind: Kind, record: Struct) -> tuple[memoryview, Floats, str]:
    """Return the bytes of the records, the numbers and the text of a whole frame. Raise MalformedBody."""
    if len(frame) < HEADER.size:
        raise MalformedBody("not a whole frame, or more than one")
    found, count, numbers, words = _read_header(frame)
    if len(frame) != _whole(count, numbers, words):
        raise MalformedBody("not a whole frame, or more than one")
    if found != kind:
        raise MalformedBody(f"a frame of kind {found} where one of kind {kind:d} belongs", offset=5)
    at = HEADER.size + record.size * count
    values = np.frombuffer(frame, "<f4", numbers, at)
    return memoryview(frame)[HEADER.size : at], values, frame[at + 4 * numbers :].decode("latin-1")


def _shaped(numbers: Floats, *shape: int) -> Floats:
    # of no numbers the sizes may be anything; none of them is worth an array that NumPy refuses to make
    return numbers.reshape(shape if len(numbers) else (0, 0, 0))


def _impossible(number: int, what: str) -> MalformedBody:
    return MalformedBody(f"record {number} has {what}", offset=HEADER.size + number * STEP.size)


def _check_end(at: int, numbers: int, word: int, text: int) -> None:
    if (at, word) != (numbers, text):
        raise MalformedBody(f"{numbers - at} numbers and {text - word} bytes of text belong to no record")
