"""Defines a Numba type of sixteen float32 lanes, and the instructions on it.

Everything that a kernel computes is written in this type, so vector code does not depend on the auto-vectoriser. Each
lane follows IEEE 754: one rounding an operation, and a fused multiply-add only where `fma` stands. LLVM
splits the sixteen lanes into what the target has (one 512-bit register, two of 256, four of 128), which changes no
bit. Addresses are integers in bytes; sizes of rows are multiples of 64 bytes.
"""

from typing import Any

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from cellar.engine.kernel_library.decorators import instruction, literal_instruction
from cellar.engine.numerics import LANES

BYTES = 4 * LANES

FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
INTS = ir.VectorType(INT, LANES)
BITS = ir.VectorType(ir.IntType(1), LANES)


class LanesType(types.Type):
    """Sixteen float32 values."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


class MaskType(types.Type):
    """Sixteen truth values."""

    def __init__(self) -> None:
        super().__init__(name="mask16")


LANES_TYPE = LanesType()
MASK_TYPE = MaskType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]  # Numba ships no types


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, BITS)  # type: ignore[no-untyped-call]  # Numba ships no types


V, M, I, F, B = LANES_TYPE, MASK_TYPE, types.int64, types.float32, types.boolean  # noqa: E741  # one letter a type


def emit_call(b: Builder, name: str, *values: Value) -> Value:
    """Emit a call of an LLVM intrinsic on vectors: the first argument's type is the result's."""
    kind = ir.FunctionType(values[0].type, [value.type for value in values])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), values)


def emit_splat(b: Builder, value: Value) -> Value:
    """Emit sixteen copies of a number."""
    kind = ir.VectorType(value.type, LANES)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(INT, 0))
    return b.shuffle_vector(one, one, ir.Constant(INTS, [0] * LANES))


def pointer(b: Builder, address: Value, kind: ir.Type) -> Value:
    """Emit the conversion of an integer address to a pointer to `kind`."""
    return b.inttoptr(address, kind.as_pointer())


def floats(value: float) -> ir.Constant:
    """Return a constant vector with `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def ints(value: int) -> ir.Constant:
    """Return a constant vector of 32-bit integers with `value` in every lane."""
    return ir.Constant(INTS, [value] * LANES)


# --- arithmetic

splat = instruction(V, F)(emit_splat)
"""A float32 in every lane."""
zero = instruction(V)(lambda _b: floats(0.0))
"""+0 in every lane."""
add = instruction(V, V, V)(lambda b, x, y: b.fadd(x, y))
sub = instruction(V, V, V)(lambda b, x, y: b.fsub(x, y))
mul = instruction(V, V, V)(lambda b, x, y: b.fmul(x, y))
div = instruction(V, V, V)(lambda b, x, y: b.fdiv(x, y))
neg = instruction(V, V)(lambda b, x: b.fneg(x))
"""x with its sign flipped."""
fma = instruction(V, V, V, V)(lambda b, x, y, z: emit_call(b, "llvm.fma.v16f32", x, y, z))
"""x * y + z with one rounding."""
sqrt = instruction(V, V)(lambda b, x: emit_call(b, "llvm.sqrt.v16f32", x))
"""The correctly rounded square root."""
absolute = instruction(V, V)(lambda b, x: emit_call(b, "llvm.fabs.v16f32", x))
"""x with its sign cleared."""


@instruction(V, V, V)
def with_sign(b: Builder, magnitude: Value, signed: Value) -> Value:
    """Return a magnitude, which must not be negative, with the sign of another vector."""
    sign = b.and_(b.bitcast(signed, INTS), ints(-(1 << 31)))
    return b.bitcast(b.or_(b.bitcast(magnitude, INTS), sign), VECTOR)


# --- masks

above = instruction(M, V, V)(lambda b, x, y: b.fcmp_ordered(">", x, y))
"""Where x > y; false where either is NaN."""
is_nan = instruction(M, V)(lambda b, x: b.fcmp_unordered("uno", x, x))
either = instruction(M, M, M)(lambda b, p, q: b.or_(p, q))
"""The lanes in which at least one of two masks is true."""
where = instruction(V, M, V, V)(lambda b, mask, x, y: b.select(mask, x, y))
"""x under the mask and y elsewhere."""


@instruction(M, I)
def first(b: Builder, count: Value) -> Value:
    """Return the mask of the lanes below a count."""
    counts = emit_splat(b, b.trunc(count, INT))
    return b.icmp_signed("<", ir.Constant(INTS, list(range(LANES))), counts)


@instruction(B, V, M)
def all_finite(b: Builder, values: Value, mask: Value) -> Value:
    """Return whether every lane under the mask is finite."""
    finite = b.fcmp_ordered("<", emit_call(b, "llvm.fabs.v16f32", values), floats(float("inf")))
    wrong = b.and_(b.not_(finite), mask)
    return b.icmp_unsigned("==", b.bitcast(wrong, ir.IntType(LANES)), ir.Constant(ir.IntType(LANES), 0))


@instruction(B, M)
def any_of(b: Builder, mask: Value) -> Value:
    """Return whether a mask holds in some lane."""
    return b.icmp_unsigned("!=", b.bitcast(mask, ir.IntType(LANES)), ir.Constant(ir.IntType(LANES), 0))


# --- bits of a float


def _emit_power(b: Builder, n: Value) -> Value:
    """Emit 2 to the power of integers."""
    return b.bitcast(b.shl(b.add(n, ints(127)), ints(23)), VECTOR)


@instruction(V, V, V)
def scale(b: Builder, values: Value, shifted: Value) -> Value:
    """Return values times 2^n, where n is the integer in the low bits of `shifted` = n + 1.5 * 2^23, -250 < n < 250.

    Two multiplications by half the power each: a result in the subnormal or the infinite range rounds once.
    """
    n = b.sub(b.bitcast(shifted, INTS), ints(0x4B400000))
    half = b.ashr(n, ints(1))
    return b.fmul(b.fmul(values, _emit_power(b, half)), _emit_power(b, b.sub(n, half)))


@instruction(V, V)
def power_of_two(b: Builder, shifted: Value) -> Value:
    """Return 2^n for `shifted` = n + 127 + 1.5 * 2^23, -127 < n < 128.

    The low nine bits of `shifted` are then sign and exponent of the power, and the shift leaves nothing of the others.
    """
    return b.bitcast(b.shl(b.bitcast(shifted, INTS), ints(23)), VECTOR)


def _exponent_bits(b: Builder, bits: Value) -> Value:
    """Emit floor(log2(a / sqrt(1/2))) for the bits of a normal, positive a."""
    return b.ashr(b.sub(bits, ints(0x3F3504F3)), ints(23))


@instruction(V, V)
def exponent(b: Builder, a: Value) -> Value:
    """Return e of a = m * 2^e with sqrt(1/2) <= m < sqrt(2), for a normal and positive."""
    return b.sitofp(_exponent_bits(b, b.bitcast(a, INTS)), VECTOR)


@instruction(V, V)
def mantissa(b: Builder, a: Value) -> Value:
    """Return m of a = m * 2^e with sqrt(1/2) <= m < sqrt(2), for a normal and positive."""
    bits = b.bitcast(a, INTS)
    return b.bitcast(b.sub(bits, b.shl(_exponent_bits(b, bits), ints(23))), VECTOR)


# --- across lanes


@literal_instruction
def rotate(_: Any, _values: Any, distance: Any) -> Any:
    """Return values with lane j holding lane (j + distance) mod 16; the distance is a literal."""
    lanes = [(j + distance.literal_value) % LANES for j in range(LANES)]

    def generate(_context: Any, b: Builder, _signature: Any, arguments: Any) -> Value:
        """Emit the instruction."""
        return b.shuffle_vector(arguments[0], arguments[0], ir.Constant(INTS, lanes))

    return V(V, distance), generate
