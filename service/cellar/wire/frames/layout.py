"""The layout of a frame in bytes: its header, the fields of its records, and its three blocks.

A frame is a header, then records of one size, then all numbers in one block, then all text. Everything is little
endian and nothing is padded: records and numbers are at multiples of eight and four bytes. `docs/reference/frames.md`
describes it for authors of other clients.
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from cellar.errors import MalformedBody

Floats = NDArray[np.float32]

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
    ("version", "Q"),
)


def _struct(fields: Fields) -> Struct:
    return Struct("<" + "".join(code for _, code in fields))


HEADER, STEP, ANSWER = _struct(HEADER_FIELDS), _struct(STEP_FIELDS), _struct(ANSWER_FIELDS)


class Kind(IntEnum):
    """The kind of a frame: what its records are."""

    STEPS = 1
    ANSWERS = 2
    PROBLEM = 3
    """A frame without records whose text is a problem document, which ends a stream of answers early."""


KINDS = frozenset(map(int, Kind))


SEQUENCE, POSITION, NUMBER, SEQ, RESET, ROW_FLAGS, ROW_NUMBERS = 1, 2, 4, 8, 16, 32, 64
"""Flags of a step: it is a sequence; its position, step or seq is given; behind its names it has a reset, a byte for
each row of each step, and the numbers of its rows."""

LONG_NAMES = 128
"""Flag of a step whose text begins with the lengths of the names of its session and its writer."""

LENGTHS = Struct("<HH")

REPLAYED, NOT_KEPT = 1, 2
"""Flags of an answer: the step was applied before; its output is no longer stored."""

OK = 200
"""Status of an answer to a successful step."""


def name_from_latin_1(latin_1: str) -> str:
    """Return the name of which the text block of a frame has these bytes, as characters of Latin-1.

    Bytes that are not UTF-8 become half surrogate pairs, which no name has.
    """
    return latin_1 if latin_1.isascii() else latin_1.encode("latin-1").decode(errors="surrogateescape")


def join_blocks(
    kind: Kind, count: int, records: Sequence[bytes], numbers: Sequence[bytes], text: Sequence[bytes]
) -> bytes:
    """Return a frame from its blocks: `count` records, all numbers and all text, each in pieces."""
    sizes = sum(map(len, numbers)) // 4, sum(map(len, text))
    return b"".join((HEADER.pack(MAGIC, VERSION, kind, 0, count, *sizes, 0), *records, *numbers, *text))


def read_header(data: bytes | bytearray) -> tuple[int, int, int, int]:
    """Return the kind and the counts of records, numbers and bytes of text. Raise MalformedBody."""
    magic, version, kind, zero, records, numbers, text, nothing = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MalformedBody("not a frame: it does not begin with `Cell`", offset=0)
    if version != VERSION:
        raise MalformedBody(f"a frame of version {version}; this service reads {VERSION}", offset=4)
    if zero or nothing or kind not in KINDS:
        raise MalformedBody("a frame of an unknown kind", offset=5)
    return kind, records, numbers, text


def frame_bytes(data: bytes | bytearray) -> int:
    """Return the size in bytes of the frame with whose header the data begin. Raise MalformedBody."""
    return _whole(*read_header(data)[1:])


def _whole(records: int, numbers: int, text: int) -> int:
    return HEADER.size + STEP.size * records + 4 * numbers + text


def blocks(frame: bytes, kind: Kind, record: Struct) -> tuple[memoryview, Floats, str]:
    """Return the bytes of the records, the numbers and the text of a complete frame. Raise MalformedBody."""
    if len(frame) < HEADER.size:
        raise MalformedBody("not a whole frame, or more than one")
    found, count, numbers, words = read_header(frame)
    if len(frame) != _whole(count, numbers, words):
        raise MalformedBody("not a whole frame, or more than one")
    if found != kind:
        raise MalformedBody(f"a frame of kind {found} where one of kind {kind:d} belongs", offset=5)
    at = HEADER.size + record.size * count
    values = np.frombuffer(frame, "<f4", numbers, at)
    return memoryview(frame)[HEADER.size : at], values, frame[at + 4 * numbers :].decode("latin-1")
