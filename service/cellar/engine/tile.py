"""Products on register tiles: the hand-tuned leaf.

A tile is R rows by P panels of sixteen columns of accumulators that stay in registers while k ascends, one fused
multiply-add a term, from zero. Which tile covers an element changes no bit of it.

Weights are packed once: a matrix (m, n) becomes ceil(m / 16) panels, each k-major, n x 16 floats.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from cellar.engine.activations import kernel
from cellar.engine.vector import BYTES, add, emit_call, emit_splat, instruction, load, store, zero

_VECTOR = ir.VectorType(ir.FloatType(), 16)
_ADDRESS = ir.IntType(64)


def _tile(rows: int, panels: int, *, accumulate: bool) -> Any:
    """Return an intrinsic for one tile.

    `tile(a, a_row, a_k, w, w_k, w_panel, out, out_row, length)`: for row i, panel p and lane j, out[i][p][j] is the
    sum over k below `length` of a[i * a_row + k * a_k] * w[p * w_panel + k * w_k][j], strides in bytes, started from
    zero or, with `accumulate`, from what out holds.
    """

    @instruction
    def tile(
        _: Any, a: Any, a_row: Any, a_k: Any, w: Any, w_k: Any, w_panel: Any, out: Any, out_row: Any, length: Any
    ) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> ir.Value:
            _emit(builder, values, rows, panels, accumulate)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), generate

    return tile


def _emit(builder: ir.IRBuilder, values: Any, rows: int, panels: int, accumulate: bool) -> None:
    a, a_row, a_k, w, w_k, w_panel, out, out_row, length = values

    def at(base: ir.Value, *terms: tuple[ir.Value, int]) -> ir.Value:
        for stride, count in terms:
            if count:
                base = builder.add(base, builder.mul(stride, ir.Constant(_ADDRESS, count)))
        return base

    def vector(address: ir.Value) -> ir.Value:
        return builder.inttoptr(address, _VECTOR.as_pointer())

    places = {
        (i, p): vector(at(out, (out_row, i), (ir.Constant(_ADDRESS, BYTES), p)))
        for i in range(rows)
        for p in range(panels)
    }
    start = {
        key: builder.load(place, align=4) if accumulate else ir.Constant(_VECTOR, [0.0] * 16)
        for key, place in places.items()
    }
    sums = {key: cgutils.alloca_once_value(builder, value) for key, value in start.items()}
    a_at, w_at = (cgutils.alloca_once_value(builder, value) for value in (a, w))
    with cgutils.for_range(builder, length):
        a_now, w_now = builder.load(a_at), builder.load(w_at)
        columns = [builder.load(vector(at(w_now, (w_panel, p))), align=4) for p in range(panels)]
        for i in range(rows):
            factor = builder.load(builder.inttoptr(at(a_now, (a_row, i)), ir.FloatType().as_pointer()), align=4)
            lanes = emit_splat(builder, factor)
            for p, column in enumerate(columns):
                place = sums[i, p]
                builder.store(emit_call(builder, "llvm.fma.v16f32", [lanes, column, builder.load(place)]), place)
        builder.store(builder.add(a_now, a_k), a_at)
        builder.store(builder.add(w_now, w_k), w_at)
    for key, place in places.items():
        builder.store(builder.load(sums[key]), place, align=4)


# 6 x 16 fills the sixteen 256-bit registers of x86-64-v3; one row takes four panels to have enough sums in flight.
_six, _four, _two, _one = (_tile(rows, 1, accumulate=False) for rows in (6, 4, 2, 1))
_wide = _tile(1, 4, accumulate=False)
_six_more, _four_more, _two_more, _one_more = (_tile(rows, 1, accumulate=True) for rows in (6, 4, 2, 1))


@kernel
def product(a: int, a_row: int, w: int, out: int, out_row: int, length: int, width: int, rows: int) -> None:
    """Write the products of `rows` vectors of `length` floats with packed panels of `width` bytes of columns."""
    panel = 64 * length
    end = w + panel * (width // 64)
    row = 0
    if rows != 1:
        while w < end:
            row = 0
            while row + 6 <= rows:
                _six(a + row * a_row, a_row, 4, w, 64, panel, out + row * out_row, out_row, length)
                row += 6
            if row + 4 <= rows:
                _four(a + row * a_row, a_row, 4, w, 64, panel, out + row * out_row, out_row, length)
                row += 4
            if row + 2 <= rows:
                _two(a + row * a_row, a_row, 4, w, 64, panel, out + row * out_row, out_row, length)
                row += 2
            if row < rows:
                _one(a + row * a_row, a_row, 4, w, 64, panel, out + row * out_row, out_row, length)
            w += panel
            out += 64
        return
    while w + 4 * panel <= end:
        _wide(a, a_row, 4, w, 64, panel, out, out_row, length)
        w += 4 * panel
        out += 256
    while w < end:
        _one(a, a_row, 4, w, 64, panel, out, out_row, length)
        w += panel
        out += 64


@kernel
def outer(g: int, g_row: int, v: int, v_row: int, out: int, rows: int, width: int, count: int) -> None:
    """Add to out (rows, width bytes) the sum over `count` pairs of outer products of g and v, in order."""
    for column in range(0, width, 64):
        row = 0
        while row + 6 <= rows:
            _six_more(g + 4 * row, 4, g_row, v + column, v_row, 64, out + row * width + column, width, count)
            row += 6
        if row + 4 <= rows:
            _four_more(g + 4 * row, 4, g_row, v + column, v_row, 64, out + row * width + column, width, count)
            row += 4
        if row + 2 <= rows:
            _two_more(g + 4 * row, 4, g_row, v + column, v_row, 64, out + row * width + column, width, count)
            row += 2
        if row < rows:
            _one_more(g + 4 * row, 4, g_row, v + column, v_row, 64, out + row * width + column, width, count)


@kernel
def lane_total(g: int, g_row: int, width: int, steps: int, rows: int, sums: int, out: int) -> None:
    """Add to out (`width` bytes) the sum of g over all steps, descending, and rows, ascending, in the lane shape.

    The i-th term goes to sum i mod 16, and the sixteen sums, at `sums`, are added by a halving tree.
    """
    for column in range(0, width, 64):
        for lane in range(16):
            store(sums + 64 * lane, zero())
        i = 0
        for t in range(steps - 1, -1, -1):
            for b in range(rows):
                place = sums + 64 * (i & 15)
                store(place, add(load(place), load(g + (t * rows + b) * g_row + column)))
                i += 1
        distance = 8
        while distance:
            for lane in range(distance):
                place = sums + 64 * lane
                store(place, add(load(place), load(place + 64 * distance)))
            distance //= 2
        store(out + column, add(load(out + column), load(sums)))
