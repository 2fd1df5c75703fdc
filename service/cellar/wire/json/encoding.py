"""Encodes answers with arrays as JSON: long arrays in parts, without Python objects for their numbers."""

from io import BytesIO
from time import sleep
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

DOUBLE = np.dtype(np.float64)

PART_NUMBERS = 16 * 1024
"""Numbers written at a time: about a millisecond."""


def dump_json(document: dict[str, Any], end: bytes = b"") -> bytes:
    """Return an object as JSON, with `end` behind it. Arrays may be its members, or members of objects in a list.

    Numbers are written as float64. Arrays are encoded in parts, between which other threads may run.
    """
    text = BytesIO()
    _write(text, document)
    text.write(end)
    return text.getvalue()


def _write(text: BytesIO, value: Any) -> None:
    if isinstance(value, dict):
        for number, (name, member) in enumerate(value.items()):
            text.write((b"," if number else b"{") + orjson.dumps(name) + b":")
            _write(text, member)
        text.write(b"}" if value else b"{}")
    elif isinstance(value, list):
        for number, member in enumerate(value):
            text.write(b"," if number else b"[")
            _write(text, member)
        text.write(b"]" if value else b"[]")
    elif isinstance(value, np.ndarray) and value.ndim:
        _write_numbers(text, value)
    else:
        text.write(orjson.dumps(value.tolist() if isinstance(value, np.ndarray) else value))


def _write_numbers(text: BytesIO, numbers: NDArray[np.float32]) -> None:
    if numbers.size <= PART_NUMBERS:
        text.write(orjson.dumps(numbers.astype(DOUBLE, order="C"), option=orjson.OPT_SERIALIZE_NUMPY))
        return
    entries = max(1, PART_NUMBERS * len(numbers) // numbers.size)
    for start in range(0, len(numbers), entries):
        text.write(b"," if start else b"[")
        part = numbers[start : start + entries]
        if entries == 1 and part.ndim > 1:
            _write_numbers(text, part[0])
        else:
            encoded = orjson.dumps(part.astype(DOUBLE, order="C"), option=orjson.OPT_SERIALIZE_NUMPY)
            text.write(memoryview(encoded)[1:-1])
        sleep(0)  # yields the interpreter lock now, and not after the switch interval of 5 ms
    text.write(b"]")
