"""The matrix product that all kernels call: rows times packed weights, for any number of rows and sizes.

It is compiled once for a target and called by its address, so kernels of cells hold none of it and compile quickly.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import cfunc, types

from cellar.engine.kernel_library.decorators import instruction, kernel_function
from cellar.engine.kernel_library.matmul_tile import make_tiles
from cellar.engine.kernel_library.memory_intrinsics import WORD, call_product, expand, stack_memory
from cellar.engine.kernel_library.simd import I
from cellar.engine.target import Registers

MOST_ROWS = 8
"""Rows of the tallest tile: 8 divides the batches that people use, and 8 x 3 panels fill 32 registers."""

WEIGHTS_BYTES = 24 * 1024
"""Weights that are read again for every block of rows: they and the rows stay in the first-level cache."""

EXPANDED_PANELS, EXPANDED_DEPTH = 4, 128
"""How much of bfloat16 weights is expanded at a time: 32 KiB, read by every row. An even depth: words hold two."""

_ROOM_BYTES = 64 * EXPANDED_PANELS * EXPANDED_DEPTH

_SIGNATURE = types.int64(*[types.int64] * 11)


@kernel_function
def _share(total: int, parts: int, index: int) -> int:
    """Return how many of `total` rows or panels part `index` of `parts` gets: the first ones get one more."""
    return total // parts + (1 if index < total % parts else 0)


def float32_product(registers: Registers) -> Any:
    """Return `product(a, a_row, a_k, w, out, out_row, length, panels, rows, accumulate, _)` with float32 weights.

    It writes the products of `rows` vectors of `length` floats with packed panels. The float k of row i stands at
    a + i * a_row + k * a_k (strides in bytes); a row of results has `panels` blocks of 64 bytes. With `accumulate` the
    sums are added to what `out` holds. The rows are cut into blocks of nearly equal height, and the terms into parts
    whose weights stay in the cache for all blocks.
    """
    shapes = tile_shapes(registers)
    tile, tallest, most_panels = make_tiles(registers.lanes, shapes, bfloat16=False), len(shapes), _lookup(shapes)

    def product(
        a: Any, a_row: Any, a_k: Any, w: Any, out: Any, out_row: Any, length: Any, panels: Any, rows: Any,
        accumulate: Any, _: Any,
    ) -> int:  # fmt: skip
        """Compute the product as described above."""
        if rows <= 0:
            return 0
        blocks = (rows + tallest - 1) // tallest
        most = most_panels(_share(rows, blocks, 0))
        groups = (panels + most - 1) // most
        parts = (64 * most * length + WEIGHTS_BYTES - 1) // WEIGHTS_BYTES if blocks > 1 else 1
        depth = (length + parts - 1) // parts
        panel = 64 * length
        for group in range(groups):
            width = _share(panels, groups, group)
            k = 0
            while k < length:
                count = min(depth, length - k)
                accumulates = 1 if k > 0 else accumulate
                a_now = a + k * a_k
                out_now = out
                for block in range(blocks):
                    height = _share(rows, blocks, block)
                    tile(height, width, a_now, a_row, a_k, w + 64 * k, out_now, out_row, panel, count, accumulates)
                    a_now += height * a_row
                    out_now += height * out_row
                k += count
            w += width * panel
            out += 64 * width
        return 0

    return cfunc(_SIGNATURE, error_model="numpy")(product)


def bfloat16_product(registers: Registers) -> Any:
    """Return the same function for bfloat16 weights; `plain` is the address of the product with float32 weights.

    A row alone reads the weights as they are; several rows read them expanded, a part at a time.
    """
    shapes = tile_shapes(registers)
    tile, widest = make_tiles(registers.lanes, shapes[:1], bfloat16=True), shapes[0]

    def product(
        a: Any, a_row: Any, a_k: Any, w: Any, out: Any, out_row: Any, length: Any, panels: Any, rows: Any,
        accumulate: Any, plain: Any,
    ) -> int:  # fmt: skip
        """Compute the product as described above."""
        panel = 64 * ((length + 1) // 2)
        if rows == 1:
            while panels > 0:
                width = min(widest, panels)
                tile(1, width, a, a_row, a_k, w, out, out_row, panel, length, accumulate)
                panels -= width
                w += width * panel
                out += 64 * width
            return 0
        room = stack_memory(_ROOM_BYTES)
        while panels > 0:
            width = min(EXPANDED_PANELS, panels)
            k = 0
            while k < length:
                count = min(EXPANDED_DEPTH, length - k)
                for index in range(width):  # of an odd count a row of zeros too, where the next panel or nothing begins
                    expand(w + index * panel + 32 * k, room + 64 * index * count, (count + 1) // 2)
                accumulates = 1 if k > 0 else accumulate
                call_product(plain, a + k * a_k, a_row, a_k, room, out, out_row, count, width, rows, accumulates, 0)
                k += count
            panels -= width
            w += width * panel
            out += 64 * width
        return 0

    return cfunc(_SIGNATURE, error_model="numpy")(product)


def tile_shapes(registers: Registers) -> list[int]:
    """Return the most panels of tiles of one row, two rows, ..., up to the tallest that the registers hold."""
    panels = [_most_panels(rows, registers) for rows in range(1, MOST_ROWS + 1)]
    return [count for count in panels if count]


def _most_panels(rows: int, registers: Registers) -> int:
    """Return the most panels of a tile of this height: 0 if it does not fit; for one row enough independent sums."""
    each = 16 // registers.lanes
    widest = 8 if each == 1 else 4
    fitting = (p for p in range(widest, 0, -1) if rows * p * each + min(rows, p * each) + 1 <= registers.count)
    return next(fitting, 0)


def _lookup(values: Sequence[int]) -> Any:
    """Return an instruction that gives the first value for 1, the second for 2, ..., and the last for a larger one."""

    @instruction(I, I)
    def look_up(b: Builder, index: Value) -> Value:
        """Emit the selection of the value."""
        found: Value = WORD(values[-1])
        for number, value in reversed(list(enumerate(values[:-1], 1))):
            found = b.select(b.icmp_signed("==", index, WORD(number)), WORD(value), found)
        return found

    return look_up
