"""The engine's own functions on sixteen lanes: branch-free, explicit fused multiply-adds, the same bits everywhere.

They are part of the arithmetic that `KERNEL_REV` names. A clamp keeps its argument when the comparison is false, so
NaN passes through. Error bounds, over a dense sample of all float32, are asserted in
`tests/engine/test_activations.py`.
"""

from collections.abc import Callable
from typing import Any

from numba import njit
from numpy import float32, inf

from cellar.engine.memory import load, load_first, store, store_first
from cellar.engine.vector import (
    FLUSH_BELOW,
    above,
    absolute,
    add,
    all_finite,
    div,
    either,
    exponent,
    first,
    fma,
    is_nan,
    mantissa,
    mul,
    neg,
    rotate,
    scale,
    splat,
    sqrt,
    sub,
    where,
    zero,
)

__all__ = [
    "absolute",
    "add",
    "all_finite",
    "div",
    "exp",
    "first",
    "flush",
    "load",
    "load_first",
    "log",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "peak_lanes",
    "pick",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "store",
    "store_first",
    "sub",
    "sum_lanes",
    "tanh",
]


def kernel(function: Callable[..., Any]) -> Any:
    """Make of a function one that kernels can call; division gives infinity instead of raising."""
    return njit(error_model="numpy")(function)


_ROUND = float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
_LOG2_E = float32(1.44269504088896341)
_LN2_HIGH = float32(0.693359375)  # few enough bits that a product with an exponent is exact
_LN2_LOW = float32(-2.12194440e-4)
_ONE = float32(1.0)
_INFINITY = float32(inf)
_FLUSH = float32(FLUSH_BELOW)
_TINY = float32(2.0**-126)
_LIFT = float32(2.0**25)


@kernel
def pick(a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """Return `then` where a > b and `otherwise` elsewhere."""
    return where(above(a, b), then, otherwise)


@kernel
def maximum(a: Any, b: Any) -> Any:
    """Return the larger; b of two equal ones; NaN if either is."""
    return where(either(above(a, b), is_nan(a)), a, b)


@kernel
def minimum(a: Any, b: Any) -> Any:
    """Return the smaller; b of two equal ones; NaN if either is."""
    return where(either(above(b, a), is_nan(a)), a, b)


@kernel
def relu(a: Any) -> Any:
    """Return 0 where a < 0 and a elsewhere: -0 stays -0."""
    return where(above(zero(), a), zero(), a)


@kernel
def flush(a: Any) -> Any:
    """Return +0 where |a| is below 2^-63 and a elsewhere."""
    return where(above(splat(_FLUSH), absolute(a)), zero(), a)


@kernel
def exp(a: Any) -> Any:
    """Return e^a: a = n ln 2 + r, a polynomial of degree 7 in r (Cephes expf), and the power of two by its bits."""
    x = pick(a, splat(float32(89.0)), splat(float32(89.0)), a)
    x = pick(splat(float32(-104.0)), x, splat(float32(-104.0)), x)
    shifted = fma(x, splat(_LOG2_E), splat(_ROUND))
    n = sub(shifted, splat(_ROUND))
    r = fma(n, splat(-_LN2_HIGH), x)
    r = fma(n, splat(-_LN2_LOW), r)
    p = splat(float32(1.9875691500e-4))
    p = fma(p, r, splat(float32(1.3981999507e-3)))
    p = fma(p, r, splat(float32(8.3334519073e-3)))
    p = fma(p, r, splat(float32(4.1665795894e-2)))
    p = fma(p, r, splat(float32(1.6666665459e-1)))
    p = fma(p, r, splat(float32(5.0000001201e-1)))
    p = fma(mul(r, r), p, r)
    return scale(add(p, splat(_ONE)), shifted)


@kernel
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


@kernel
def log1p_unit(a: Any) -> Any:
    """Return log(1 + a) for 0 <= a <= 1: the logarithm of the rounded sum, corrected for the rounding."""
    whole = add(splat(_ONE), a)
    kept = sub(whole, splat(_ONE))
    corrected = mul(log(whole), div(a, kept))
    return where(above(kept, zero()), corrected, a)


@kernel
def softplus(a: Any) -> Any:
    """Return log(1 + e^a) as max(a, 0) + log(1 + e^-|a|)."""
    return add(maximum(a, zero()), log1p_unit(exp(neg(absolute(a)))))


@kernel
def sigmoid(a: Any) -> Any:
    """Return 1 / (1 + e^-a). Through tanh its tail would be wrong and not monotone."""
    return div(splat(_ONE), add(splat(_ONE), exp(neg(a))))


@kernel
def tanh(a: Any) -> Any:
    """Return tanh as a ratio of polynomials of degrees 13 and 6 (Eigen's ptanh), clamped where it reaches 1."""
    limit = splat(float32(7.90531110763549805))
    x = pick(a, limit, limit, a)
    x = pick(neg(limit), x, neg(limit), x)
    s = mul(x, x)
    p = splat(float32(-2.76076847742355e-16))
    p = fma(p, s, splat(float32(2.00018790482477e-13)))
    p = fma(p, s, splat(float32(-8.60467152213735e-11)))
    p = fma(p, s, splat(float32(5.12229709037114e-08)))
    p = fma(p, s, splat(float32(1.48572235717979e-05)))
    p = fma(p, s, splat(float32(6.37261928875436e-04)))
    p = fma(p, s, splat(float32(4.89352455891786e-03)))
    q = splat(float32(1.19825839466702e-06))
    q = fma(q, s, splat(float32(1.18534705686654e-04)))
    q = fma(q, s, splat(float32(2.26843463243900e-03)))
    q = fma(q, s, splat(float32(4.89352518554385e-03)))
    result = div(mul(x, p), q)
    # Near zero tanh is its argument, to the last bit and for every subnormal.
    return where(above(splat(float32(4e-4)), absolute(a)), a, result)


@kernel
def sum_lanes(a: Any) -> Any:
    """Return in every lane the sum over all: a fixed halving tree, 8, 4, 2, 1."""
    a = add(a, rotate(a, 8))
    a = add(a, rotate(a, 4))
    a = add(a, rotate(a, 2))
    return add(a, rotate(a, 1))


@kernel
def peak_lanes(a: Any) -> Any:
    """Return in every lane the largest of all; NaN if one is."""
    a = maximum(a, rotate(a, 8))
    a = maximum(a, rotate(a, 4))
    a = maximum(a, rotate(a, 2))
    return maximum(a, rotate(a, 1))
