"""Instructions by which kernels read and write memory at an address, and call functions at an address."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from cellar.engine.kernel_library.decorators import Typed, instruction, literal_instruction, typed
from cellar.engine.kernel_library.simd import (
    BITS,
    BYTES,
    FLOAT,
    INT,
    INTS,
    VECTOR,
    I,
    M,
    V,
    emit_splat,
    floats,
    pointer,
)


@instruction
def read_int(_: Any, address: Any) -> Typed:
    """Return the 64-bit integer at an address."""
    return typed(I, [I], lambda b, v: b.load(pointer(b, v[0], ir.IntType(64)), align=8))


@instruction
def read_int32(_: Any, address: Any) -> Typed:
    """Return the 32-bit integer at an address, widened."""
    return typed(I, [I], lambda b, v: b.sext(b.load(pointer(b, v[0], INT), align=4), ir.IntType(64)))


@instruction
def read_byte(_: Any, address: Any) -> Typed:
    """Return the byte at an address, widened."""
    byte = ir.IntType(8)
    return typed(I, [I], lambda b, v: b.zext(b.load(pointer(b, v[0], byte), align=1), ir.IntType(64)))


@instruction
def write_int32(_: Any, address: Any, value: Any) -> Typed:
    """Store an integer as 32 bits."""
    return typed(types.void, [I, I], lambda b, v: b.store(b.trunc(v[1], INT), pointer(b, v[0], INT), align=4))


@instruction
def write_int(_: Any, address: Any, value: Any) -> Typed:
    """Store a 64-bit integer."""
    return typed(types.void, [I, I], lambda b, v: b.store(v[1], pointer(b, v[0], ir.IntType(64)), align=8))


@instruction
def copy_bytes(_: Any, source: Any, target: Any, size: Any) -> Typed:
    """Copy bytes between places that do not overlap."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        byte = ir.IntType(8)
        return cgutils.raw_memcpy(b, pointer(b, v[1], byte), pointer(b, v[0], byte), v[2], 1)

    return typed(types.void, [I, I, I], build)


@instruction
def load(_: Any, address: Any) -> Typed:
    """Return sixteen floats from an address."""
    return typed(V, [I], lambda b, v: b.load(pointer(b, v[0], VECTOR), align=4))


@instruction
def load_one(_: Any, address: Any) -> Typed:
    """Return the one float at an address in every lane."""
    return typed(V, [I], lambda b, v: emit_splat(b, b.load(pointer(b, v[0], FLOAT), align=4)))


@instruction
def store(_: Any, address: Any, value: Any) -> Typed:
    """Store sixteen floats at an address."""
    return typed(types.void, [I, V], lambda b, v: b.store(v[1], pointer(b, v[0], VECTOR), align=4))


@instruction
def load_first(_: Any, address: Any, mask: Any) -> Typed:
    """Return the lanes under the mask from an address, and zero in the others, which are not touched in memory."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        place = pointer(b, v[0], VECTOR)
        kind = ir.FunctionType(VECTOR, [place.type, INT, BITS, VECTOR])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.masked.load.v16f32.p0")
        return b.call(function, [place, ir.Constant(INT, 4), v[1], floats(0.0)])

    return typed(V, [I, M], build)


@instruction
def store_first(_: Any, address: Any, value: Any, mask: Any) -> Typed:
    """Store the lanes under the mask; the memory of the others is not touched."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        place = pointer(b, v[0], VECTOR)
        kind = ir.FunctionType(ir.VoidType(), [VECTOR, place.type, INT, BITS])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.masked.store.v16f32.p0")
        return b.call(function, [v[1], place, ir.Constant(INT, 4), v[2]])

    return typed(types.void, [I, V, M], build)


@instruction
def expand(_: Any, source: Any, target: Any, pairs: Any) -> Typed:
    """Store the floats of `pairs` blocks of sixteen words: those in the lower halves, then those in the upper ones."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> None:
        """Emit the instructions."""
        word = ir.IntType(64)
        with cgutils.for_range(b, v[2]) as loop:
            words = b.load(pointer(b, b.add(v[0], b.mul(loop.index, word(BYTES))), INTS), align=4)
            place = b.add(v[1], b.mul(loop.index, word(2 * BYTES)))
            for index, bits in enumerate([b.shl(words, INTS(16)), b.and_(words, INTS(0xFFFF0000))]):
                b.store(b.bitcast(bits, VECTOR), pointer(b, b.add(place, word(index * BYTES)), VECTOR), align=4)

    return typed(types.void, [I, I, I], build)


@literal_instruction
def stack_memory(_: Any, size: Any) -> Typed:
    """Return the address of `size` bytes, a literal, on the stack of the calling function."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        with b.goto_entry_block():
            room = b.alloca(ir.ArrayType(ir.IntType(8), size.literal_value))
        room.align = BYTES
        return b.ptrtoint(room, ir.IntType(64))

    return typed(I, [size], build)


# --- calls by address


def _calling(b: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """Emit a call of the function at an address with 64-bit integers, which returns one."""
    address, *arguments = values
    integer = ir.IntType(64)
    return b.call(pointer(b, address, ir.FunctionType(integer, [integer] * len(arguments))), arguments)


@instruction
def call_function(_: Any, function: Any, a: Any) -> Typed:
    """Call the function at an address, with one integer; return the one that it returns."""
    return typed(I, [I] * 2, _calling)


@instruction
def call_product(
    _: Any, function: Any, a: Any, a_row: Any, a_k: Any, w: Any, out: Any, out_row: Any, length: Any, panels: Any,
    rows: Any, accumulate: Any, plain: Any,
) -> Typed:  # fmt: skip
    """Call a product; `cellar.engine.kernel_library.matmul` says what its arguments are."""
    return typed(I, [I] * 12, _calling)
