"""Plots of lines: with characters for a terminal, and as a PNG without any further package."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

BLOCKS = " ▁▂▃▄▅▆▇█"
Values = Sequence[float | None]

WIDTH, HEIGHT = 900, 360
MARGIN = 20
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189))
"""Of the lines, in their order."""


def text_plot(values: Values, *, width: int = 72, height: int = 8) -> list[str]:
    """Return the lines of a plot of columns, from the smallest value at the bottom to the largest at the top.

    >>> text_plot([0.0, 1.0, 2.0, 4.0], height=2)
    ['  ▁█', '▁▅██']
    """
    present = [value for value in values if value is not None]
    if not present:
        return []
    shown = _thinned(values, width)
    low, high = min(present), max(present)
    span = (high - low) or 1.0
    levels = [None if value is None else 1 + round((value - low) / span * (8 * height - 1)) for value in shown]
    return [
        "".join(" " if level is None else BLOCKS[min(max(level - 8 * row, 0), 8)] for level in levels).rstrip()
        for row in reversed(range(height))
    ]


def _thinned(values: Values, width: int) -> Values:
    """Return at most `width` values, evenly spaced, the last one among them."""
    if len(values) <= width:
        return values
    return [values[round(index * (len(values) - 1) / (width - 1))] for index in range(width)]


def write_png(path: Path, lines: Mapping[str, Values]) -> None:
    """Write the lines over a common axis as a PNG of 900 x 360 pixels, the values of each from left to right."""
    present = [value for values in lines.values() for value in values if value is not None]
    low, high = (min(present), max(present)) if present else (0.0, 1.0)
    longest = max((len(values) for values in lines.values()), default=1)
    pixels = bytearray(b"\xff" * (3 * WIDTH * HEIGHT))
    for colour, values in zip(COLOURS, lines.values(), strict=False):
        before: tuple[int, int] | None = None
        for index, value in enumerate(values):
            if value is None:
                before = None
                continue
            x = MARGIN + round(index / max(longest - 1, 1) * (WIDTH - 2 * MARGIN))
            y = HEIGHT - MARGIN - round((value - low) / ((high - low) or 1.0) * (HEIGHT - 2 * MARGIN))
            _draw(pixels, before or (x, y), (x, y), colour)
            before = x, y
    rows = b"".join(b"\0" + bytes(pixels[3 * WIDTH * row : 3 * WIDTH * (row + 1)]) for row in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts))


def _draw(pixels: bytearray, begin: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Draw a line, two pixels wide."""
    steps = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]), 1)
    for step in range(steps + 1):
        x = begin[0] + round((end[0] - begin[0]) * step / steps)
        y = begin[1] + round((end[1] - begin[1]) * step / steps)
        for row in (y, y + 1):
            at = 3 * (WIDTH * min(row, HEIGHT - 1) + x)
            pixels[at : at + 3] = bytes(colour)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
