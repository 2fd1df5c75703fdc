"""Defines a Numba type of sixteen float32 lanes, and the instructions on it.

Everything that a kernel computes is written in this type, so vector code does not depend on the auto-vectoriser. Each
lane follows IEEE 754: one rounding an operation, and a fused multiply-add only where `fma` stands. LLVM
splits the sixteen lanes into what the target has (one 512-bit register, two of 256, four of 128), which changes no
bit. Addresses are integers in bytes; sizes of rows are multiples of 64 bytes.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from cellar.engine.kernel_library.decorators import Typed, instruction, literal_instruction, typed
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


def emit_call(builder: ir.IRBuilder, name: str, values: Sequence[ir.Value]) -> ir.Value:
    """Emit a call of an LLVM intrinsic on vectors: the first argument's type is the result's."""
    kind = ir.FunctionType(values[0].type, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def emit_splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Emit sixteen copies of a float."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(INT, 0))
    return builder.shuffle_vector(one, one, ir.Constant(INTS, [0] * LANES))


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Emit the conversion of an integer address to a pointer to `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def floats(value: float) -> ir.Constant:
    """Return a constant vector with `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def ints(value: int) -> ir.Constant:
    """Return a constant vector of 32-bit integers with `value` in every lane."""
    return ir.Constant(INTS, [value] * LANES)


# --- arithmetic


@instruction
def splat(_: Any, value: Any) -> Typed:
    """Return a float32 in every lane."""
    return typed(V, [F], lambda b, v: emit_splat(b, v[0]))


@instruction
def zero(_: Any) -> Typed:
    """Return +0 in every lane."""
    return typed(V, [], lambda *_: floats(0.0))


@instruction
def add(_: Any, a: Any, b: Any) -> Typed:
    """Return a + b."""
    return typed(V, [V, V], lambda b, v: b.fadd(*v))


@instruction
def sub(_: Any, a: Any, b: Any) -> Typed:
    """Return a - b."""
    return typed(V, [V, V], lambda b, v: b.fsub(*v))


@instruction
def mul(_: Any, a: Any, b: Any) -> Typed:
    """Return a * b."""
    return typed(V, [V, V], lambda b, v: b.fmul(*v))


@instruction
def div(_: Any, a: Any, b: Any) -> Typed:
    """Return a / b."""
    return typed(V, [V, V], lambda b, v: b.fdiv(*v))


@instruction
def neg(_: Any, a: Any) -> Typed:
    """Return a with its sign flipped."""
    return typed(V, [V], lambda b, v: b.fneg(v[0]))


@instruction
def fma(_: Any, a: Any, b: Any, c: Any) -> Typed:
    """Return a * b + c with one rounding."""
    return typed(V, [V, V, V], lambda b, v: emit_call(b, "llvm.fma.v16f32", v))


@instruction
def sqrt(_: Any, a: Any) -> Typed:
    """Return the correctly rounded square root."""
    return typed(V, [V], lambda b, v: emit_call(b, "llvm.sqrt.v16f32", v))


@instruction
def absolute(_: Any, a: Any) -> Typed:
    """Return a with its sign cleared."""
    return typed(V, [V], lambda b, v: emit_call(b, "llvm.fabs.v16f32", v))


@instruction
def with_sign(_: Any, a: Any, b: Any) -> Typed:
    """Return a, which must not be negative, with the sign of b."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        sign = b.and_(b.bitcast(v[1], INTS), ints(-(1 << 31)))
        return b.bitcast(b.or_(b.bitcast(v[0], INTS), sign), VECTOR)

    return typed(V, [V, V], build)


# --- masks


@instruction
def first(_: Any, count: Any) -> Typed:
    """Return the mask of the lanes below a count."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        count = b.trunc(v[0], INT)
        one = b.insert_element(ir.Constant(INTS, ir.Undefined), count, ir.Constant(INT, 0))
        counts = b.shuffle_vector(one, one, ir.Constant(INTS, [0] * LANES))
        return b.icmp_signed("<", ir.Constant(INTS, list(range(LANES))), counts)

    return typed(M, [I], build)


@instruction
def above(_: Any, a: Any, b: Any) -> Typed:
    """Return where a > b; false where either is NaN."""
    return typed(M, [V, V], lambda b, v: b.fcmp_ordered(">", *v))


@instruction
def is_nan(_: Any, a: Any) -> Typed:
    """Return where a is NaN."""
    return typed(M, [V], lambda b, v: b.fcmp_unordered("uno", v[0], v[0]))


@instruction
def either(_: Any, a: Any, b: Any) -> Typed:
    """Return the mask of lanes in which at least one of two masks is true."""
    return typed(M, [M, M], lambda b, v: b.or_(*v))


@instruction
def where(_: Any, mask: Any, a: Any, b: Any) -> Typed:
    """Return a under the mask and b elsewhere."""
    return typed(V, [M, V, V], lambda b, v: b.select(*v))


@instruction
def all_finite(_: Any, a: Any, mask: Any) -> Typed:
    """Return whether every lane under the mask is finite."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        finite = b.fcmp_ordered("<", emit_call(b, "llvm.fabs.v16f32", v[:1]), floats(float("inf")))
        wrong = b.and_(b.not_(finite), v[1])
        return b.icmp_unsigned("==", b.bitcast(wrong, ir.IntType(LANES)), ir.Constant(ir.IntType(LANES), 0))

    return typed(B, [V, M], build)


@instruction
def any_of(_: Any, mask: Any) -> Typed:
    """Return whether a mask holds in some lane."""
    empty = ir.Constant(ir.IntType(LANES), 0)
    return typed(B, [M], lambda b, v: b.icmp_unsigned("!=", b.bitcast(v[0], ir.IntType(LANES)), empty))


# --- bits of a float


@instruction
def scale(_: Any, a: Any, shifted: Any) -> Typed:
    """Return a * 2^n, where n is the integer in the low bits of `shifted` = n + 1.5 * 2^23, -250 < n < 250.

    Two multiplications by half the power each: a result in the subnormal or the infinite range rounds once.
    """

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        n = b.sub(b.bitcast(v[1], INTS), ints(0x4B400000))
        half = b.ashr(n, ints(1))

        def power(exponent: ir.Value) -> ir.Value:
            """Emit 2 to the power of an integer."""
            return b.bitcast(b.shl(b.add(exponent, ints(127)), ints(23)), VECTOR)

        return b.fmul(b.fmul(v[0], power(half)), power(b.sub(n, half)))

    return typed(V, [V, V], build)


@instruction
def power_of_two(_: Any, shifted: Any) -> Typed:
    """Return 2^n for `shifted` = n + 127 + 1.5 * 2^23, -127 < n < 128.

    The low nine bits of `shifted` are then sign and exponent of the power, and the shift leaves nothing of the others.
    """
    return typed(V, [V], lambda b, v: b.bitcast(b.shl(b.bitcast(v[0], INTS), ints(23)), VECTOR))


def _exponent_bits(b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """Emit floor(log2(a / sqrt(1/2))) for the bits of a normal, positive a."""
    return b.ashr(b.sub(bits, ints(0x3F3504F3)), ints(23))


@instruction
def exponent(_: Any, a: Any) -> Typed:
    """Return e of a = m * 2^e with sqrt(1/2) <= m < sqrt(2), for a normal and positive."""
    return typed(V, [V], lambda b, v: b.sitofp(_exponent_bits(b, b.bitcast(v[0], INTS)), VECTOR))


@instruction
def mantissa(_: Any, a: Any) -> Typed:
    """Return m of a = m * 2^e with sqrt(1/2) <= m < sqrt(2), for a normal and positive."""

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        bits = b.bitcast(v[0], INTS)
        return b.bitcast(b.sub(bits, b.shl(_exponent_bits(b, bits), ints(23))), VECTOR)

    return typed(V, [V], build)


# --- across lanes


def _rotate(_: Any, a: Any, distance: Any) -> Typed:
    """Return a with lane j holding lane (j + distance) mod 16; the distance is a literal."""
    shift = distance.literal_value

    def build(b: ir.IRBuilder, v: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions."""
        return b.shuffle_vector(v[0], v[0], ir.Constant(INTS, [(j + shift) % LANES for j in range(LANES)]))

    return typed(V, [V, distance], build)


rotate: Any = literal_instruction(_rotate)
