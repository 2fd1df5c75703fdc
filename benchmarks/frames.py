"""Frames as a client writes and reads them; the service reads steps and writes answers (`cellar.wire.frames`)."""

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from cellar.wire.frames.frames import Answer, Place, Step, join_answers, pack_answer
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
    Kind,
    blocks,
    join_blocks,
)

_NOWHERE = Place(bytes(8), 0, bytes(16))


def pack_steps(steps: Sequence[Step]) -> bytes:
    """Return a frame of steps, with inputs cast to float32. Raise struct.error for a value that does not fit."""
    records, numbers, text = [], [], []
    for one in steps:
        words = [(part or "").encode(errors="surrogateescape") for part in (one.session, one.writer, one.key)]
        sizes, long_names = tuple(map(len, words)), b""
        flags = SEQUENCE * one.sequence | POSITION * (one.position is not None) | NUMBER * (one.step is not None)
        flags |= SEQ * (one.seq is not None) | RESET * (one.reset is not None)
        flags |= ROW_FLAGS * (one.row_flags is not None) | ROW_NUMBERS * (one.numbers is not None)
        if max(sizes[:2]) > 0xFF:
            flags, sizes, long_names = flags | LONG_NAMES, (0, 0, sizes[2]), LENGTHS.pack(*sizes[:2])
        epoch, at, digest = one.position or _NOWHERE
        at = at if one.step is None else one.step
        records.append(
            STEP.pack(one.tag, flags, *sizes, *one.inputs.shape, one.timeout_ms, epoch, at, digest, one.seq or 0)
        )
        numbers.append(np.ascontiguousarray(one.inputs, dtype="<f4").tobytes())
        rows = np.array(one.numbers or (), "<u4").tobytes()
        text += [long_names, *words, one.reset or b"", one.row_flags or b"", rows]
    return join_blocks(Kind.STEPS, len(records), records, numbers, text)


def pack_answers(answers: Iterable[Answer]) -> bytes:
    """Return a frame of answers, as the service does."""
    return join_answers([pack_answer(answer) for answer in answers])


def unpack_answers(frame: bytes) -> list[Answer]:
    """Return the answers of a frame; their outputs are read-only views of it. Raise MalformedBody."""
    records, numbers, text = blocks(frame, Kind.ANSWERS, ANSWER)
    answers: list[Answer] = []
    at = word = 0
    for tag, status, flags, *shape, problem, epoch, step, digest, version in ANSWER.iter_unpack(records):
        start, at = at, at + prod(shape)
        begin, word = word, word + problem
        good = status == OK
        answers.append(
            Answer(
                tag,
                status,
                Place(epoch, step, digest) if good else None,
                numbers[start:at].reshape(shape) if good and not flags & NOT_KEPT else None,
                flags & REPLAYED == REPLAYED,
                text[begin:word].encode("latin-1"),
                version,
            )
        )
    assert (at, word) == (len(numbers), len(text))
    return answers


def unpack_problem(frame: bytes) -> bytes | None:
    """Return the problem document of a frame that ends a stream, None for any other frame. Raise MalformedBody."""
    if frame[5] != Kind.PROBLEM:
        return None
    blocks(frame, Kind.PROBLEM, STEP)
    return frame[HEADER.size :]
