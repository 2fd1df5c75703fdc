"""Frames: many steps, or their answers, in binary form (docs/reference/frames.md)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar_client.documents import Document
from cellar_client.errors import CellarError

MEDIA_TYPE = "application/vnd.cellar.frames"

Floats = NDArray[np.float32]

_HEADER = Struct("<4sBBHIIII")
_STEP = Struct("<IBBBBIIII8sQ16sQ")
_ANSWER = Struct("<IHHIIII8sQ16sQ")
_MAGIC, _VERSION = b"Cell", 1
_MOST_BYTE = 255
_STEPS, _ANSWERS, _PROBLEM = 1, 2, 3
_SEQUENCE, _POSITION, _SEQ, _RESET, _ROW_FLAGS, _ROW_NUMBERS = 1, 2, 8, 16, 32, 64
_LONG_NAMES = 128  # the lengths of both names stand before them in the text
_LENGTHS = Struct("<HH")
_REPLAYED, _NOT_KEPT = 1, 2
_NOWHERE = bytes(8), 0, bytes(16)
_FLOATS = np.dtype("<f4")

OK = 200


class Step(NamedTuple):
    """A step or sequence to send. `inputs` is (T, B, F); an empty `session` is that of the stream."""

    tag: int
    inputs: Floats
    sequence: bool = False
    session: str = ""
    position: str | None = None
    writer: str = ""
    seq: int | None = None
    reset: bytes | None = None
    """A byte for each row."""
    flags: bytes | None = None
    """A byte for each row of each step."""
    rows: bytes | None = None
    """Numbers of the rows, 32 bits each."""


class StepAnswer(NamedTuple):
    """The answer to a step: outputs (T, B, F) and the position after it, or a problem document.

    The outputs are None if the step was applied before and they were too large to keep.
    """

    tag: int
    outputs: Floats | None = None
    position: str = ""
    step: int = 0
    replayed: bool = False
    problem: Document | None = None
    version: int = 0
    """Number of the version that ran the step of a session that follows an alias."""


MOST_STEPS, MOST_BYTES = 1024, 2**21
"""Steps and bytes of inputs of one frame: far below the service's limits of a message, 4,096 steps and 16 MiB."""


def split(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield steps in groups that fit into one frame, at least one in each."""
    group, size = list[Step](), 0
    for step in steps:
        if group and (len(group) == MOST_STEPS or size + step.inputs.nbytes > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(step)
        size += step.inputs.nbytes
    if group:
        yield group


def pack(steps: Sequence[Step]) -> bytes:
    """Return a frame of steps. Raise struct.error for a value that does not fit."""
    records: list[bytes] = []
    numbers: list[bytes] = []
    text: list[bytes] = []
    for tag, inputs, sequence, session, position, writer, seq, reset, row_flags, row_numbers in steps:
        names: tuple[bytes, ...] = session.encode(), writer.encode()
        flags = _SEQUENCE * sequence | _POSITION * (position is not None) | _SEQ * (seq is not None)
        sizes = len(names[0]), len(names[1])
        if max(sizes) > _MOST_BYTE:
            flags, names, sizes = flags | _LONG_NAMES, (_LENGTHS.pack(*sizes), *names), (0, 0)
        text += names
        for flag, part in ((_RESET, reset), (_ROW_FLAGS, row_flags), (_ROW_NUMBERS, row_numbers)):
            if part is not None:
                flags |= flag
                text.append(part)
        place = _NOWHERE if position is None else _parts(position)
        records.append(_STEP.pack(tag, flags, *sizes, 0, *inputs.shape, 0, *place, seq or 0))
        numbers.append(inputs.tobytes())
    block, names_block = b"".join(numbers), b"".join(text)
    head = _HEADER.pack(_MAGIC, _VERSION, _STEPS, 0, len(records), len(block) // 4, len(names_block), 0)
    return b"".join((head, *records, block, names_block))


def unpack(content: bytes) -> list[StepAnswer]:
    """Return the answers of frames that follow each other. A problem of the whole request has tag -1."""
    found: list[StepAnswer] = []
    at = 0
    while at < len(content):
        at = _unpack_one(content, at, found)
    return found


def _unpack_one(content: bytes, start: int, found: list[StepAnswer]) -> int:
    """Add the answers of the frame at `start`, and return where it ends."""
    if len(content) - start < _HEADER.size:
        raise CellarError("the service has sent an incomplete frame")
    magic, _, kind, _, count, numbers, text, _ = _HEADER.unpack_from(content, start)
    values = start + _HEADER.size + _ANSWER.size * count
    word: int = values + 4 * numbers
    if magic != _MAGIC or kind not in (_ANSWERS, _PROBLEM) or len(content) < word + text:
        raise CellarError("the service has sent something that is not a frame of answers")
    if kind == _PROBLEM:
        found.append(StepAnswer(-1, problem=json.loads(content[word : word + text])))
        return int(word + text)
    for number in range(count):
        tag, status, flags, length, rows, features, problem, epoch, step, digest, version = _ANSWER.unpack_from(
            content, start + _HEADER.size + _ANSWER.size * number
        )
        if status != OK:
            found.append(StepAnswer(tag, problem=json.loads(content[word : word + problem])))
            word += problem
            continue
        size, outputs = length * rows * features, None
        if not flags & _NOT_KEPT:
            outputs = np.frombuffer(content, _FLOATS, size, values).reshape(length, rows, features)
        values += 4 * size
        position = f"{epoch.hex()}.{step}.{digest.hex()}"
        found.append(StepAnswer(tag, outputs, position, step, flags & _REPLAYED == _REPLAYED, version=version))
    return int(word)


def _parts(position: str) -> tuple[bytes, int, bytes]:
    epoch, step, digest = position.split(".")
    return bytes.fromhex(epoch), int(step), bytes.fromhex(digest)
