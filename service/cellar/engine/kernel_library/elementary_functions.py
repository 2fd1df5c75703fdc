"""Computes exp, log, tanh, sigmoid and other functions on sixteen lanes, with the same bits on every processor.

They have no branches, and multiply-adds are fused where `fma` stands. `KERNEL_REV` covers their bits. A clamp keeps its
argument if the comparison is false, so NaN passes through. `tests/engine/kernel_library/test_elementary_functions.py`
asserts error bounds over a dense sample of all float32.
"""

from typing import Any

from numpy import float32, inf

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.simd import (
    above,
    absolute,
    add,
    div,
    either,
    exponent,
    fma,
    is_nan,
    mantissa,
    mul,
    neg,
    power_of_two,
    rotate,
    scale,
    splat,
    sub,
    where,
    with_sign,
    zero,
)
from cellar.engine.numerics import FLUSH_BELOW

_ROUND = float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
_ROUND_126 = float32(12582912.0 + 126.0)  # then `power_of_two` gives 2^(n - 1)
_ROUND_191 = float32(12582912.0 + 191.0)  # and 2^(n + 64)
_LOWER = float32(2.0**-64)
_EXP_LEAST = float32(-104.0)
_LOG2_E = float32(1.44269504088896341)
_LN2_HIGH = float32(0.693359375)  # few enough bits that a product with an exponent is exact
_LN2_LOW = float32(-2.12194440e-4)
_HALF = float32(0.5)
_ONE = float32(1.0)
_INFINITY = float32(inf)
_FLUSH = float32(FLUSH_BELOW)
_TINY = float32(2.0**-126)
_LIFT = float32(2.0**25)


@kernel_function
def select(a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """Return `then` where a > b and `otherwise` elsewhere."""
    return where(above(a, b), then, otherwise)


@kernel_function
def maximum(a: Any, b: Any) -> Any:
    """Return the larger; b of two equal ones; NaN if either is."""
    return where(either(above(a, b), is_nan(a)), a, b)


@kernel_function
def minimum(a: Any, b: Any) -> Any:
    """Return the smaller; b of two equal ones; NaN if either is."""
    return where(either(above(b, a), is_nan(a)), a, b)


@kernel_function
def relu(a: Any) -> Any:
    """Return 0 where a < 0 and a elsewhere: -0 stays -0."""
    return where(above(zero(), a), zero(), a)


@kernel_function
def flush(a: Any) -> Any:
    """Return +0 where |a| is below 2^-63 and a elsewhere."""
    return where(above(splat(_FLUSH), absolute(a)), zero(), a)


@kernel_function
def exp(a: Any) -> Any:
    """Return e^a = e^r 2^n: 0 where float32 rounds it to zero, infinity where it exceeds the largest number."""
    x = select(a, splat(float32(89.0)), splat(float32(89.0)), a)
    x = select(splat(_EXP_LEAST), x, splat(_EXP_LEAST), x)
    shifted = fma(x, splat(_LOG2_E), splat(_ROUND))
    return scale(exp_rest(x, sub(shifted, splat(_ROUND))), shifted)


@kernel_function
def exp_neg_abs(a: Any) -> Any:
    """Return e^-|a|, the bits of exp.

    With no power above 1, e^r 2^(n + 64) is a normal number, and times 2^-64 it is rounded once.
    """
    x = neg(absolute(a))
    x = select(splat(_EXP_LEAST), x, splat(_EXP_LEAST), x)
    shifted = fma(x, splat(_LOG2_E), splat(_ROUND_191))
    lifted = mul(exp_rest(x, sub(shifted, splat(_ROUND_191))), power_of_two(shifted))
    return mul(lifted, splat(_LOWER))


@kernel_function
def exp_rest(x: Any, n: Any) -> Any:
    """Return e^r, r = x - n ln 2, by a polynomial of degree 7 (Cephes expf)."""
    r = fma(n, splat(-_LN2_HIGH), x)
    r = fma(n, splat(-_LN2_LOW), r)
    p = splat(float32(1.9875691500e-4))
    p = fma(p, r, splat(float32(1.3981999507e-3)))
    p = fma(p, r, splat(float32(8.3334519073e-3)))
    p = fma(p, r, splat(float32(4.1665795894e-2)))
    p = fma(p, r, splat(float32(1.6666665459e-1)))
    p = fma(p, r, splat(float32(5.0000001201e-1)))
    p = fma(mul(r, r), p, r)
    return add(p, splat(_ONE))


@kernel_function
def log(a: Any) -> Any:
    """Return the natural logarithm: a = m 2^e, a polynomial of degree 9 in m - 1 (Cephes logf).

    -inf at zero of either sign, NaN below zero.
    """
    small = above(splat(_TINY), a)
    normal = where(small, mul(a, splat(_LIFT)), a)
    e = exponent(normal)
    e = where(small, sub(e, splat(float32(25.0))), e)
    f = sub(mantissa(normal), splat(_ONE))
    square = mul(f, f)
    p = splat(float32(7.0376836292e-2))
    p = fma(p, f, splat(float32(-1.1514610310e-1)))
    p = fma(p, f, splat(float32(1.1676998740e-1)))
    p = fma(p, f, splat(float32(-1.2420140846e-1)))
    p = fma(p, f, splat(float32(1.4249322787e-1)))
    p = fma(p, f, splat(float32(-1.6668057665e-1)))
    p = fma(p, f, splat(float32(2.0000714765e-1)))
    p = fma(p, f, splat(float32(-2.4999993993e-1)))
    p = fma(p, f, splat(float32(3.3333331174e-1)))
    y = mul(mul(p, f), square)
    y = fma(e, splat(_LN2_LOW), y)
    y = fma(square, splat(float32(-0.5)), y)
    result = fma(e, splat(_LN2_HIGH), add(f, y))
    result = where(above(splat(_INFINITY), a), result, a)  # infinity and NaN are their own logarithms
    result = where(above(a, zero()), result, div(splat(-_ONE), absolute(a)))  # -1 / |0| is -inf
    return where(above(zero(), a), sub(splat(_INFINITY), splat(_INFINITY)), where(is_nan(a), a, result))


@kernel_function
def log1p_unit(a: Any) -> Any:
    """Return log(1 + a) for 0 <= a <= 1: the logarithm of the rounded sum, corrected for the rounding."""
    whole = add(splat(_ONE), a)
    kept = sub(whole, splat(_ONE))
    corrected = mul(log(whole), div(a, kept))
    return where(above(kept, zero()), corrected, a)


@kernel_function
def softplus(a: Any) -> Any:
    """Return log(1 + e^a) as max(a, 0) + log(1 + e^-|a|)."""
    return add(maximum(a, zero()), log1p_unit(exp_neg_abs(a)))


@kernel_function
def sigmoid(a: Any) -> Any:
    """Return 1 / (1 + e^-|a|) for a > 0 and e^-|a| / (1 + e^-|a|) elsewhere, which keeps the tail down to 2^-149."""
    w = exp_neg_abs(a)
    return div(select(a, zero(), splat(_ONE), w), add(splat(_ONE), w))


@kernel_function
def tanh(a: Any) -> Any:
    """Return tanh, exactly 1 or -1 where float32 rounds it to that: |a| >= 13 ln 2.

    |a| = n h + r with h = ln(2) / 2 and t = 2^n = e^(2 n h). With u = tanh(r), an odd polynomial of degree 7,

        tanh |a| = ((t - 1) + (t + 1) u) / ((t + 1) + (t - 1) u)

    by the addition theorem. Both are halved, and the denominator is the numerator plus 1 - u, so that an error of
    the numerator cancels where the result is near 1. At |a| = 13 ln 2 the numerator reaches 2^25, where numbers lie 4
    apart, and 1 - u is lost beside it: the quotient is exactly 1. For n = 0 the denominator is exactly 1 and the result
    is u, which is `a` itself near zero, down to every subnormal and -0. The offset before rounding to n puts r between
    -0.048 and 0.298: n = 0 reaches so far that n = 1, where nothing cancels yet, errs by less than 1.8 units.
    """
    limit = splat(float32(10.0))
    y = absolute(a)
    y = select(y, limit, limit, y)
    shifted = fma(sub(y, splat(float32(0.125))), splat(float32(2.885390081777926815)), splat(_ROUND_126))
    r = fma(sub(shifted, splat(_ROUND_126)), splat(float32(-0.3465735902799726547)), y)
    s = mul(r, r)
    p = splat(float32(-5.040159448981285e-2))
    p = fma(p, s, splat(float32(1.3315199315547943e-1)))
    p = fma(p, s, splat(float32(-3.333306908607483e-1)))
    u = fma(mul(r, s), p, r)
    half = power_of_two(shifted)
    numerator = fma(add(half, splat(_HALF)), u, sub(half, splat(_HALF)))
    return with_sign(div(numerator, add(numerator, sub(splat(_ONE), u))), a)


@kernel_function
def sum_lanes(a: Any) -> Any:
    """Return in every lane the sum over all: a fixed halving tree, 8, 4, 2, 1."""
    a = add(a, rotate(a, 8))
    a = add(a, rotate(a, 4))
    a = add(a, rotate(a, 2))
    return add(a, rotate(a, 1))


@kernel_function
def max_lanes(a: Any) -> Any:
    """Return in every lane the largest of all; NaN if one is."""
    a = maximum(a, rotate(a, 8))
    a = maximum(a, rotate(a, 4))
    a = maximum(a, rotate(a, 2))
    return maximum(a, rotate(a, 1))
