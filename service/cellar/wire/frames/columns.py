"""Reads and writes frames of many similar records with NumPy, column by column instead of record by record.

A record that is read or written by itself takes three microseconds; a record of a uniform frame takes a fifth of that.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.wire.frames.frames import Packed
from cellar.wire.frames.layout import (
    ANSWER,
    ANSWER_FIELDS,
    HEADER,
    NUMBER,
    OK,
    REPLAYED,
    STEP,
    STEP_FIELDS,
    Floats,
    Kind,
    blocks,
    name_from_latin_1,
)

FEWEST = 4
"""The fewest records for which reading by columns is faster."""

_CODES = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8", "8s": "V8", "16s": "V16"}

_STEP = np.dtype([(name, _CODES[code]) for name, code in STEP_FIELDS])

_DIGEST = np.dtype("V16")

_ANSWER = np.dtype([(name, _CODES[code]) for name, code in ANSWER_FIELDS])

_AT = {name: int(place[1]) for name, place in (_STEP.fields or {}).items()}

FLAGS = _AT["flags"]
"""Their offsets in a record."""

HEAD = slice(_AT["flags"], _AT["epoch"])
"""The fields that are equal in all records of one session, including the length of its name."""

COMMON = slice(_AT["writer"], _AT["epoch"])
"""Writer, key, shape and timeout: fields that are equal in all records of a uniform frame."""


class PlainSteps(NamedTuple):
    """The steps of a uniform frame: single steps with the same rows and features, and with no identity but a number."""

    sessions: list[str]
    tags: NDArray[np.uint32]
    numbers: list[int] | None
    """The number of each step, if the records have it."""
    inputs: Floats
    """(records, 1, rows, in_size), finite, read-only."""


def plain_steps(frame: bytes) -> PlainSteps | None:
    """Return the steps of a uniform frame of `FEWEST` records or more, None for other frames. Raise MalformedBody."""
    if len(frame) < HEADER.size + FEWEST * STEP.size:
        return None
    data, numbers, text = blocks(frame, Kind.STEPS, STEP)
    count = len(data) // STEP.size
    if count < FEWEST:
        return None
    _, flags, session, writer, key, steps, rows, features, timeout_ms, *_ = STEP.unpack_from(data)
    if flags not in (0, NUMBER) or steps != 1 or writer or key or timeout_ms:
        return None
    table, records = np.frombuffer(data, np.uint8).reshape(count, STEP.size), np.frombuffer(data, _STEP)
    alike = table[:, HEAD].tobytes() == count * bytes(data[HEAD])  # half the time of a comparison in NumPy
    if not alike and not ((table[:, FLAGS] == flags).all() and (table[:, COMMON] == table[0, COMMON]).all()):
        return None
    names = count * [session] if alike else records["session"].tolist()
    whole = sum(names) == len(text) and 0 < count * rows * features == len(numbers)
    if not whole or not np.isfinite(numbers).all():
        return None
    return PlainSteps(
        _names(text, names) if text else count * [""],
        records["tag"],
        records["step"].tolist() if flags else None,
        numbers.reshape(count, 1, rows, features),
    )


def _names(text: str, sizes: list[int]) -> list[str]:
    names = [text[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
    return names if text.isascii() else list(map(name_from_latin_1, names))


def pack_outputs(
    tags: Sequence[int],
    places: Sequence[tuple[bytes, int, bytes]],
    steps: Sequence[int],
    rows: Sequence[int],
    outputs: Sequence[bytes],
    replayed: Sequence[bool],
    versions: Sequence[int],
) -> Packed:
    """Return the answers to successful steps as parts of a frame; there is at least one.

    `outputs` are the float32 bytes of (steps, rows, out_size), `versions` those of `Answer.version`.
    """
    pack = ANSWER.pack  # not slower than NumPy up to 1,024 records
    records = [
        pack(tag, OK, REPLAYED * again, length, row, len(output) // (4 * length * row), 0, epoch, at, digest, version)
        for tag, (epoch, at, digest), length, row, output, again, version in zip(
            tags, places, steps, rows, outputs, replayed, versions, strict=True
        )
    ]
    return Packed(len(tags), b"".join(records), b"".join(outputs), b"")


def pack_in_a_row(
    tags: NDArray[np.uint32],
    place: tuple[bytes, int, bytes],
    digests: bytes,
    rows: int,
    outputs: bytes,
    version: int,
) -> Packed:
    """Return the answers to successful single steps that follow one another from `place`; there is at least one.

    `digests` are the joined digests after each step; `outputs` are the float32 bytes of (steps, rows, out_size).
    """
    count, (epoch, step, _) = len(tags), place
    table = _answer(rows, len(outputs) // (4 * rows * count)).repeat(count)
    table["tag"] = tags
    table["version"] = version
    table["epoch"] = np.void(epoch)
    table["step"] = np.arange(step + 1, step + 1 + count, dtype=np.uint64)
    table["digest"] = np.frombuffer(digests, _DIGEST)
    return Packed(count, table.tobytes(), outputs, b"")


@lru_cache(maxsize=256)
def _answer(rows: int, features: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return the record of an answer to a successful single step, in which the other fields are 0."""
    table = np.zeros(1, _ANSWER)
    table["status"], table["steps"], table["rows"], table["features"] = OK, 1, rows, features
    return table
