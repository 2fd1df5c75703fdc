"""Reads nested arrays in which numbers may be missing (`null`), and nested booleans."""

import re
from collections.abc import Iterator
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.wire.arrays.layout import parse_layout
from cellar.wire.numbers.text import PIECE_BYTES, NumberText

_NUMBER = re.compile(rb"[-+0-9.eE]++")


def parse_gaps(value: Any, layout: str, pointer: str) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return nested arrays as `parse_layout`, with 0 for each null, and an array of 0 for each null and 1 elsewhere.

    The second one is None without a null. Raise as `parse_layout`.
    """
    text = value if isinstance(value, NumberText) else NumberText.of(value)
    if text.body.find(b"null", text.start, text.stop) < 0:
        return parse_layout(value, layout, pointer), None
    numbers, known = (
        b"".join(convert(piece) for piece in _pieces(text))
        for convert in (
            lambda piece: piece.replace(b"null", b"0"),
            lambda piece: _NUMBER.sub(b"1", piece.replace(b"null", b" ")).replace(b" ", b"0"),
        )
    )
    found = parse_layout(_text(numbers), layout, pointer)
    return found, parse_layout(_text(known), layout, pointer)


def parse_flags(value: Any, layout: str, pointer: str) -> NDArray[np.float32]:
    """Return nested booleans, or zeros and ones, as numbers (T, B, F). Raise as `parse_layout`, or InvalidInput."""
    text = value if isinstance(value, NumberText) else NumberText.of(value)
    numbers = b"".join(piece.replace(b"true", b"1").replace(b"false", b"0") for piece in _pieces(text))
    found = parse_layout(_text(numbers), layout, pointer)
    if not np.isin(found, (0, 1)).all():
        raise InvalidInput("a mask holds another number than 0 and 1", pointer=pointer, expected="booleans, or 0 and 1")
    return found


def _text(body: bytes) -> NumberText:
    numbers = re.compile(rb"[\[\], \t\r\n0-9+\-.eE]*+").match(body)
    end = 0 if numbers is None else numbers.end()
    return NumberText(body, 0, len(body), None if end == len(body) else end)


def _pieces(text: NumberText) -> Iterator[bytes]:
    """Yield the text in pieces that end behind a comma, and let other threads run in between."""
    at = text.start
    while at < text.stop:
        end = min(text.stop, at + PIECE_BYTES)
        if end < text.stop:
            end = text.body.rfind(b",", at, end) + 1 or text.stop
        yield text.body[at:end].translate(None, b" \t\r\n")
        sleep(0)
        at = end
