"""Instructions by which kernels read and write memory at an address, and call functions at an address."""

from typing import Any

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import types
from numba.core import cgutils

from cellar.engine.kernel_library.decorators import instruction, literal_instruction
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

VOID = types.void
BYTE = ir.IntType(8)
WORD = ir.IntType(64)
DOUBLE = ir.DoubleType()
D = types.float64


def _load(b: Builder, address: Value, kind: ir.Type, align: int) -> Value:
    return b.load(pointer(b, address, kind), align=align)


def _store(b: Builder, address: Value, value: Value, align: int) -> Value:
    return b.store(value, pointer(b, address, value.type), align=align)


read_int = instruction(I, I)(lambda b, address: _load(b, address, WORD, 8))
"""The 64-bit integer at an address."""
read_int32 = instruction(I, I)(lambda b, address: b.sext(_load(b, address, INT, 4), WORD))
"""The 32-bit integer at an address, widened."""
read_byte = instruction(I, I)(lambda b, address: b.zext(_load(b, address, BYTE, 1), WORD))
"""The byte at an address, widened."""
write_int = instruction(VOID, I, I)(lambda b, address, value: _store(b, address, value, 8))
"""Stores a 64-bit integer."""
write_int32 = instruction(VOID, I, I)(lambda b, address, value: _store(b, address, b.trunc(value, INT), 4))
"""Stores an integer as 32 bits."""
load = instruction(V, I)(lambda b, address: _load(b, address, VECTOR, 4))
"""Sixteen floats from an address."""
load_one = instruction(V, I)(lambda b, address: emit_splat(b, _load(b, address, FLOAT, 4)))
"""The one float at an address in every lane."""
read_float = instruction(D, I)(lambda b, address: b.fpext(_load(b, address, FLOAT, 4), DOUBLE))
"""The one float at an address, widened to float64."""
write_float = instruction(VOID, I, D)(lambda b, address, value: _store(b, address, b.fptrunc(value, FLOAT), 4))
"""Stores a float64 rounded to one float."""
read_double = instruction(D, I)(lambda b, address: _load(b, address, DOUBLE, 8))
"""The float64 at an address."""
write_double = instruction(VOID, I, D)(lambda b, address, value: _store(b, address, value, 8))
"""Stores a float64."""
store = instruction(VOID, I, V)(lambda b, address, value: _store(b, address, value, 4))
"""Stores sixteen floats at an address."""


@instruction(VOID, I, I, I)
def copy_bytes(b: Builder, source: Value, target: Value, size: Value) -> Value:
    """Copy bytes between places that do not overlap."""
    return cgutils.raw_memcpy(b, pointer(b, target, BYTE), pointer(b, source, BYTE), size, 1)


@instruction(V, I, M)
def load_first(b: Builder, address: Value, mask: Value) -> Value:
    """Return the lanes under the mask from an address, and zero in the others, which are not touched in memory."""
    place = pointer(b, address, VECTOR)
    kind = ir.FunctionType(VECTOR, [place.type, INT, BITS, VECTOR])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.masked.load.v16f32.p0")
    return b.call(function, [place, ir.Constant(INT, 4), mask, floats(0.0)])


@instruction(VOID, I, V, M)
def store_first(b: Builder, address: Value, value: Value, mask: Value) -> Value:
    """Store the lanes under the mask; the memory of the others is not touched."""
    place = pointer(b, address, VECTOR)
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, place.type, INT, BITS])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.masked.store.v16f32.p0")
    return b.call(function, [value, place, ir.Constant(INT, 4), mask])


@instruction(VOID, I, I, I)
def expand(b: Builder, source: Value, target: Value, pairs: Value) -> None:
    """Store the floats of `pairs` blocks of sixteen words: those in the lower halves, then those in the upper ones."""
    with cgutils.for_range(b, pairs) as loop:
        words = _load(b, b.add(source, b.mul(loop.index, WORD(BYTES))), INTS, 4)
        place = b.add(target, b.mul(loop.index, WORD(2 * BYTES)))
        for index, bits in enumerate([b.shl(words, INTS(16)), b.and_(words, INTS(0xFFFF0000))]):
            _store(b, b.add(place, WORD(index * BYTES)), b.bitcast(bits, VECTOR), 4)


@literal_instruction
def stack_memory(_: Any, size: Any) -> Any:
    """Return the address of `size` bytes, a literal, on the stack of the calling function."""

    def generate(_context: Any, b: Builder, _signature: Any, _values: Any) -> Value:
        """Emit the instruction."""
        with b.goto_entry_block():
            room = b.alloca(ir.ArrayType(BYTE, size.literal_value))
        room.align = BYTES
        return b.ptrtoint(room, WORD)

    return I(size), generate


# --- calls by address


def _emit_address_call(b: Builder, function: Value, *arguments: Value) -> Value:
    """Emit a call of the function at an address with 64-bit integers, which returns one."""
    return b.call(pointer(b, function, ir.FunctionType(WORD, [WORD] * len(arguments))), arguments)


@instruction(I, I, I)
def call_function(b: Builder, function: Value, argument: Value) -> Value:
    """Call the function at an address, with one integer; return the one that it returns."""
    return _emit_address_call(b, function, argument)


@instruction(I, *[I] * 12)
def call_product(
    b: Builder, function: Value, a: Value, a_row: Value, a_k: Value, w: Value, out: Value, out_row: Value,
    length: Value, panels: Value, rows: Value, accumulate: Value, plain: Value,
) -> Value:  # fmt: skip
    """Call a product; `cellar.engine.kernel_library.matmul` says what its arguments are."""
    return _emit_address_call(b, function, a, a_row, a_k, w, out, out_row, length, panels, rows, accumulate, plain)
