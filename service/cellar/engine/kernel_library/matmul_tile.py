"""Emits the inner loop of matrix products: tiles of sums that stay in registers, for every shape that fits.

A tile is r rows by p panels of sums; k ascends, one fused multiply-add a term, from zero. Each sum over k is one chain,
so the bits of an element do not depend on the tile that computes it.

Weights are packed once: m rows, of one matrix (m, n) or of several that share an operand, become ceil(m / 16) panels,
each k-major, n x 16 floats. Of bfloat16 a panel is ceil(n / 2) x 16 words, each of two terms of a column: the even k in
its lower half, the odd one in its upper, so that a shift or a mask makes a float and no lane moves. A tile is
in the target's own vectors (16 lanes of AVX-512, 8 of AVX2, 4 of NEON) and takes as many sums as its registers hold;
with wider vectors than the target has, LLVM splits them late and spills.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import types

from cellar.engine.kernel_library.decorators import instruction
from cellar.engine.kernel_library.simd import BYTES
from cellar.engine.numerics import LANES

_INT = ir.IntType(64)
_WORD = ir.IntType(32)
_FLOAT = ir.FloatType()

FETCHED_ROWS, FETCHED_BYTES = 4, 2048
"""Tiles of at least this height prefetch weights this number of bytes ahead. The processor's own prefetch ends with a
page of memory, sixty iterations later: without ours, products of 4 to 16 rows with 4 MB of weights, beyond the
second-level cache, took a quarter longer. Tiles of fewer rows are bound by reading, and became slower with it."""

Grid = list[list[ir.Value]]


@dataclass(frozen=True, slots=True)
class _Operands:
    """Addresses and strides in bytes, the number of terms, and whether `out` holds sums to add to."""

    a: ir.Value
    a_row: ir.Value
    a_k: ir.Value
    w: ir.Value
    out: ir.Value
    out_row: ir.Value
    panel: ir.Value
    length: ir.Value
    accumulate: ir.Value


def make_tiles(lanes: int, panels: Sequence[int], *, bfloat16: bool) -> Any:
    """Return the instruction `tile(rows, panels, a, a_row, a_k, w, out, out_row, panel, length, accumulate)`.

    For row i, panel p and lane j, out[i][p][j] becomes the sum over k < length of a[i * a_row + k * a_k] *
    w[p * panel + k][j], from zero or, with `accumulate`, from what out holds. `panels` are the most panels of a tile of
    one row, of two rows, .... With `bfloat16` the weights are bfloat16, and only tiles of one row exist.
    """
    tiles = [(r + 1, p) for r, most in enumerate(panels) for p in range(1, most + 1)]
    kind = _PairTile if bfloat16 else _Tile

    @instruction(types.void, *[types.int64] * 11)
    def tile(
        b: Builder, rows: Value, width: Value, a: Value, a_row: Value, a_k: Value, w: Value, out: Value,
        out_row: Value, panel: Value, length: Value, accumulate: Value,
    ) -> None:  # fmt: skip
        """Emit a switch over all tiles."""
        operands = _Operands(a, a_row, a_k, w, out, out_row, panel, length, accumulate)
        done, never = b.append_basic_block("done"), b.append_basic_block("never")
        switch = b.switch(b.add(b.mul(rows, _number(256)), width), never)
        for r, p in tiles:
            block = b.append_basic_block(f"tile{r}x{p}")
            switch.add_case(_number(256 * r + p), block)
            b.position_at_end(block)
            kind(b, lanes, r, p).emit(operands)
            b.branch(done)
        b.position_at_end(never)
        b.unreachable()
        b.position_at_end(done)

    return tile


class _Tile:
    """Emits one tile: r rows by p panels, in vectors of `lanes`."""

    terms: ClassVar[int] = 1
    """Terms of a sum that an iteration adds, and that 64 bytes of a panel hold."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, rows: int, panels: int) -> None:
        self.b = builder
        self.rows = rows
        self.each = LANES // lanes
        self.columns = panels * self.each
        self.lanes = lanes
        self.vector = ir.VectorType(_FLOAT, lanes)

    def emit(self, at: _Operands) -> None:
        """Emit the tile at the builder's place, and leave the builder behind it."""
        b = self.b
        places = [
            [b.add(self._row(at.out, at.out_row, i), _number(4 * self.lanes * j)) for j in range(self.columns)]
            for i in range(self.rows)
        ]
        sums = self._sum(self._start(places, at.accumulate), at)
        for row, values in zip(places, sums, strict=True):
            for place, value in zip(row, values, strict=True):
                b.store(value, self._pointer(place, self.vector), align=4)

    def _start(self, places: Grid, accumulate: ir.Value) -> Grid:
        """Emit the initial sums: zeros, or those in memory."""
        b = self.b
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        return self._if(
            b.icmp_signed("!=", accumulate, _number(0)),
            lambda: [[b.load(self._pointer(place, self.vector), align=4) for place in row] for row in places],
            [[zero for _ in row] for row in places],
        )

    def _sum(self, sums: Grid, at: _Operands) -> Grid:
        """Emit all terms; return the sums."""
        return self._loop(sums, at, at.length)

    def _loop(self, sums: Grid, at: _Operands, turns: ir.Value) -> Grid:
        """Emit the loop over k, which turns at least once; return the sums after it."""
        b, before = self.b, self.b.block
        body, after = b.append_basic_block("k"), b.append_basic_block("after")
        b.branch(body)
        b.position_at_end(body)
        left, a, w = (self._phi((value, before)) for value in (turns, at.a, at.w))
        inside = [[self._phi((value, before)) for value in row] for row in sums]
        now = self._turn(inside, at, a, w)
        fewer = b.sub(left, _number(1))
        following = [fewer, self._row(a, at.a_k, self.terms), b.add(w, _number(BYTES)), *chain(*now)]
        for phi, value in zip([left, a, w, *chain(*inside)], following, strict=True):
            phi.add_incoming(value, body)
        b.cbranch(b.icmp_signed(">", fewer, _number(0)), body, after)
        b.position_at_end(after)
        return now

    def _turn(self, sums: Grid, at: _Operands, a: ir.Value, w: ir.Value) -> Grid:
        """Emit one term of every sum. Rows or columns, whichever are fewer, are loaded first and kept in registers."""
        if self.rows >= FETCHED_ROWS:
            self._fetch(at, w)
        sums = [list(row) for row in sums]
        rows, columns = range(self.rows), range(self.columns)
        if self.rows <= self.columns:
            factors = [self._factor(at, a, i) for i in rows]
            for j in columns:
                column = self._column(at, w, j, self.vector)
                for i in rows:
                    sums[i][j] = self._fma(factors[i], column, sums[i][j])
        else:
            loaded = [self._column(at, w, j, self.vector) for j in columns]
            for i in rows:
                factor = self._factor(at, a, i)
                for j in columns:
                    sums[i][j] = self._fma(factor, loaded[j], sums[i][j])
        return sums

    def _factor(self, at: _Operands, a: ir.Value, row: int) -> ir.Value:
        """Emit a's float of a row in every lane."""
        b = self.b
        value = b.load(self._pointer(self._row(a, at.a_row, row), _FLOAT), align=4)
        one = b.insert_element(ir.Constant(self.vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes))

    def _column(self, at: _Operands, w: ir.Value, column: int, kind: ir.VectorType) -> ir.Value:
        """Emit a vector of weights."""
        place = self._row(w, at.panel, column // self.each)
        offset = 4 * self.lanes * (column % self.each)
        return self.b.load(self._pointer(self.b.add(place, _number(offset)), kind), align=4)

    def _fetch(self, at: _Operands, w: ir.Value) -> None:
        """Emit a prefetch of weights that are used soon; an address beyond their end is harmless."""
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = self._intrinsic("llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, word, word, word]))
        read, into_first_level, data = word(0), word(3), word(1)
        for panel in range(self.columns // self.each):
            place = self.b.add(self._row(w, at.panel, panel), _number(FETCHED_BYTES))
            self.b.call(prefetch, [self.b.inttoptr(place, byte), read, into_first_level, data])

    def _if(self, condition: ir.Value, emit: Callable[[], Grid], otherwise: Grid) -> Grid:
        """Emit values in a branch; return them if the condition holds, and the others if not."""
        b, entry = self.b, self.b.block
        then, joined = b.append_basic_block("then"), b.append_basic_block("joined")
        b.cbranch(condition, then, joined)
        b.position_at_end(then)
        found, end = emit(), b.block
        b.branch(joined)
        b.position_at_end(joined)
        return [
            [self._phi((other, entry), (value, end)) for other, value in zip(*rows, strict=True)]
            for rows in zip(otherwise, found, strict=True)
        ]

    def _fma(self, *values: ir.Value) -> ir.Value:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return self.b.call(self._intrinsic(f"llvm.fma.v{self.lanes}f32", kind), values)

    def _intrinsic(self, name: str, kind: ir.FunctionType) -> ir.Function:
        """Return an intrinsic function of LLVM's, declared once."""
        found = self.b.module.globals.get(name)
        return ir.Function(self.b.module, kind, name) if found is None else found

    def _row(self, base: ir.Value, stride: ir.Value, count: int) -> ir.Value:
        return self.b.add(base, self.b.mul(stride, _number(count)))

    def _pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.inttoptr(address, kind.as_pointer())

    def _phi(self, *incoming: tuple[ir.Value, ir.Block]) -> ir.Value:
        phi = self.b.phi(incoming[0][0].type)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi


class _PairTile(_Tile):
    """Emits a tile of one row by p panels of bfloat16, a word of which holds two terms."""

    terms = 2

    def _sum(self, sums: Grid, at: _Operands) -> Grid:
        """Emit the pairs of terms, and the term that is left of an odd number."""
        b = self.b
        pairs = b.lshr(at.length, _number(1))
        sums = self._if(b.icmp_signed(">", pairs, _number(0)), lambda: self._loop(sums, at, pairs), sums)
        a, w = b.add(at.a, b.mul(pairs, b.mul(at.a_k, _number(2)))), b.add(at.w, b.mul(pairs, _number(BYTES)))
        odd = b.trunc(at.length, ir.IntType(1))
        return self._if(odd, lambda: self._last(sums, at, a, w), sums)

    def _turn(self, sums: Grid, at: _Operands, a: ir.Value, w: ir.Value) -> Grid:
        """Emit two terms of every sum."""
        even, odd = self._factor(at, a, 0), self._factor(at, self.b.add(a, at.a_k), 0)
        row = []
        for j, value in enumerate(sums[0]):
            words = self._words(at, w, j)
            row.append(self._fma(odd, self._upper(words), self._fma(even, self._lower(words), value)))
        return [row]

    def _last(self, sums: Grid, at: _Operands, a: ir.Value, w: ir.Value) -> Grid:
        """Emit the even term of every sum."""
        even = self._factor(at, a, 0)
        return [[self._fma(even, self._lower(self._words(at, w, j)), value) for j, value in enumerate(sums[0])]]

    def _words(self, at: _Operands, w: ir.Value, column: int) -> ir.Value:
        return self._column(at, w, column, ir.VectorType(_WORD, self.lanes))

    def _lower(self, words: ir.Value) -> ir.Value:
        return self.b.bitcast(self.b.shl(words, ir.Constant(words.type, [16] * self.lanes)), self.vector)

    def _upper(self, words: ir.Value) -> ir.Value:
        return self.b.bitcast(self.b.and_(words, ir.Constant(words.type, [0xFFFF0000] * self.lanes)), self.vector)


def _number(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)
