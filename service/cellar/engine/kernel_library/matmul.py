"""The product of rows with packed weights, for every shape: compiled once for a target, and called by its address.

Kernels of cells hold none of this code, so that a new cell is compiled quickly.
"""

from cellar.engine.target import Registers

MOST_ROWS = 8
"""Rows of the tallest tile: 8 divides the batches that people use, and 8 x 3 panels fill 32 registers."""

WEIGHTS_BYTES = 24 * 1024
"""Weights that are read again for every block of rows: they and the rows stay in the first-level cache."""

EXPANDED_PANELS, EXPANDED_DEPTH = 4, 128
"""How much of bfloat16 weights is expanded at a time: 32 KiB, read by every row. An even depth: words hold two."""

INTEGERS = ", ".join(["types.int64"] * 11)

_PLAIN = """\
from numba import cfunc, types

from cellar.engine.kernel_library.matmul_tile import make_tiles

tile = make_tiles({lanes}, {panels}, halves=False)


@cfunc(types.int64({integers}), nopython=True, error_model='numpy')
def cellar_kernel(a, a_row, a_k, w, out, out_row, length, panels, rows, more, _):
    if rows <= 0:
        return 0
    blocks = (rows + {tallest} - 1) // {tallest}
    low = rows // blocks
    tall = rows - low * blocks  # so many blocks have a row more
    highest = low + 1 if tall > 0 else low
    most = {most}
    groups = (panels + most - 1) // most
    narrow = panels // groups
    wide = panels - narrow * groups
    parts = (64 * most * length + {weights} - 1) // {weights} if blocks > 1 else 1
    depth = (length + parts - 1) // parts
    panel = 64 * length
    for group in range(groups):
        width = narrow + 1 if group < wide else narrow
        k = 0
        while k < length:
            count = min(depth, length - k)
            goes_on = 1 if k > 0 else more
            a_now = a + k * a_k
            out_now = out
            for block in range(blocks):
                height = low + 1 if block < tall else low
                tile(height, width, a_now, a_row, a_k, w + 64 * k, out_now, out_row, panel, count, goes_on)
                a_now += height * a_row
                out_now += height * out_row
            k += count
        w += width * panel
        out += 64 * width
    return 0
"""

_HALVES = """\
from numba import cfunc, types

from cellar.engine.kernel_library.matmul_tile import make_tiles
from cellar.engine.kernel_library.memory_intrinsics import call_product, expand, scratch

tile = make_tiles({lanes}, {panels}[:1], halves=True)


@cfunc(types.int64({integers}), nopython=True, error_model='numpy')
def cellar_kernel(a, a_row, a_k, w, out, out_row, length, panels, rows, more, plain):
    panel = 64 * ((length + 1) // 2)
    if rows == 1:
        while panels > 0:
            width = min({widest}, panels)
            tile(1, width, a, a_row, a_k, w, out, out_row, panel, length, more)
            panels -= width
            w += width * panel
            out += 64 * width
        return 0
    room = scratch({room})
    while panels > 0:
        width = min({expanded_panels}, panels)
        k = 0
        while k < length:
            count = min({expanded_depth}, length - k)
            for index in range(width):  # of an odd count a row of zeros too, where the next panel or nothing begins
                expand(w + index * panel + 32 * k, room + 64 * index * count, (count + 1) // 2)
            goes_on = 1 if k > 0 else more
            call_product(plain, a + k * a_k, a_row, a_k, room, out, out_row, count, width, rows, goes_on, 0)
            k += count
        panels -= width
        w += width * panel
        out += 64 * width
    return 0
"""


def shapes(registers: Registers) -> list[int]:
    """Return the most panels of tiles of one row, two rows, ..., up to the tallest that the registers hold."""
    panels = [_most_panels(rows, registers) for rows in range(1, MOST_ROWS + 1)]
    return [count for count in panels if count]


def _most_panels(rows: int, registers: Registers) -> int:
    """Return how many panels a tile of so many rows takes: 0 if it does not fit, and enough sums for a row alone."""
    each = 16 // registers.lanes
    widest = 8 if each == 1 else 4
    fitting = (p for p in range(widest, 0, -1) if rows * p * each + min(rows, p * each) + 1 <= registers.count)
    return next(fitting, 0)


def product_texts(registers: Registers) -> tuple[str, str]:
    """Return the texts of the products for these registers: with float32 and with bfloat16 weights."""
    return _plain_text(registers), _halves_text(registers)


def _plain_text(registers: Registers) -> str:
    """Return the text of `product(a, a_row, a_k, w, out, out_row, length, panels, rows, more, _)`.

    It writes the products of `rows` vectors of `length` floats with packed panels. The float k of row i stands at
    a + i * a_row + k * a_k (strides in bytes); a row of results has `panels` blocks of 64 bytes. With `more` the sums
    go on from what `out` holds.
    """
    panels = shapes(registers)
    most = "".join(f"{count} if highest == {rows} else " for rows, count in enumerate(panels[:-1], 1))
    return _PLAIN.format(
        lanes=registers.lanes,
        panels=tuple(panels),
        integers=INTEGERS,
        tallest=len(panels),
        most=f"{most}{panels[-1]}",
        weights=WEIGHTS_BYTES,
    )


def _halves_text(registers: Registers) -> str:
    """Return the text of the same function for bfloat16 weights; the last argument is the address of `product`.

    A row alone reads the weights as they are; several rows read them expanded, a part at a time.
    """
    panels = shapes(registers)
    return _HALVES.format(
        lanes=registers.lanes,
        panels=tuple(panels),
        integers=INTEGERS,
        widest=panels[0],
        room=64 * EXPANDED_PANELS * EXPANDED_DEPTH,
        expanded_panels=EXPANDED_PANELS,
        expanded_depth=EXPANDED_DEPTH,
    )
