"""Quantiles of distributions in plain float64 arithmetic, because libraries differ between machines.

Levels are between 0 and 1, both excluded. Arrays are broadcast.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.nn.numerics.portable_math import Doubles, log

Flags = NDArray[np.bool_]

_CENTRAL = (
    (
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ),
    (
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ),
)
_MIDDLE = (
    (
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ),
    (
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ),
)
_TAIL = (
    (
        2.0103343992922881e-07,
        2.7115555687434876e-05,
        0.0012426609473880784,
        0.026532189526576124,
        0.29656057182850487,
        1.7848265399172913,
        5.463784911164114,
        6.657904643501103,
    ),
    (
        2.0442631033899397e-15,
        1.421511758316446e-07,
        1.8463183175100548e-05,
        0.0007868691311456133,
        0.014875361290850615,
        0.1369298809227358,
        0.599832206555888,
        1.0,
    ),
)
"""Numerators and denominators of Wichura 1988, algorithm AS 241, with the highest power first."""

MOST_TERMS = 2000
"""The most terms of a continued fraction. It needs about the square root of the larger parameter."""


def normal_quantile(level: Doubles) -> Doubles:
    """Return quantiles of the normal distribution with mean 0 and deviation 1, within 1e-15 of their size."""
    q = level - 0.5
    r = np.sqrt(-log(np.minimum(level, 1 - level)))
    near = q * _rational(_CENTRAL, 0.180625 - q * q)
    far = np.where(r <= 5, _rational(_MIDDLE, r - 1.6), _rational(_TAIL, r - 5))
    found: Doubles = np.where(np.abs(q) <= 0.425, near, np.copysign(far, q))
    return found


def student_quantile(level: Doubles, degrees: Doubles) -> Doubles:
    """Return quantiles of Student's t distribution with centre 0 and scale 1, for at least 1 degree of freedom."""
    tail, degrees = np.broadcast_arrays(2 * np.minimum(level, 1 - level), degrees)

    # With w = degrees / (degrees + t^2), the two tails beyond t have the probability I_w(degrees / 2, 1 / 2).
    def is_below(w: Doubles) -> Flags:
        """Return where the tails have less than their probability."""
        return incomplete_beta(degrees / 2, np.full(degrees.shape, 0.5), w) < tail

    low, high = np.zeros(tail.shape), np.ones(tail.shape)
    for _ in range(60):
        middle = (low + high) / 2
        below = is_below(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    size = np.sqrt(degrees * (1 - high) / high)
    found: Doubles = np.copysign(size, np.broadcast_to(level, size.shape) - 0.5)
    return found


def negative_binomial_quantile(level: Doubles, mean: Doubles, count: Doubles) -> Doubles:
    """Return quantiles of the negative binomial distribution with variance mean + mean^2 / count: the smallest count.

    P(y <= k) = I_p(count, k + 1) with p = count / (count + mean).
    """
    level, mean, count = np.broadcast_arrays(level, mean, count)
    chance = count / (count + mean)

    def is_below(k: Doubles) -> Flags:
        """Return where the probability of at most k is below the level."""
        return incomplete_beta(count, k + 1, chance) < level

    low, high = np.full(level.shape, -1.0), np.ones(level.shape)
    while (below := is_below(high)).any() and high.max() < 2.0**40:
        low, high = np.where(below, high, low), np.where(below, 2 * high, high)
    while (high - low).max(initial=0) > 1:
        middle = np.floor((low + high) / 2)
        below = is_below(np.maximum(middle, 0))
        low, high = np.where(below & (middle > low), middle, low), np.where(below, high, middle)
        high = np.maximum(high, low + 1)
    return high


def incomplete_beta(a: Doubles, b: Doubles, x: Doubles) -> Doubles:
    """Return the regularised incomplete beta function I_x(a, b) (Lentz's continued fraction, Numerical Recipes 6.4)."""
    swapped = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(swapped, b, a), np.where(swapped, a, b), np.where(swapped, 1 - x, x)
    inside = (x > 0) & (x < 1)
    safe = np.where(inside, x, 0.5)
    front = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(safe) + b * log(1 - safe)
    value = np.where(inside, exp(front) * _fraction(a, b, safe) / a, np.where(x > 0, 1.0, 0.0))
    return np.where(swapped, 1 - value, value)


def _fraction(a: Doubles, b: Doubles, x: Doubles) -> Doubles:
    tiny = 1e-300
    c, d = np.ones(x.shape), 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < tiny, tiny, d)
    found = d
    for term in range(1, MOST_TERMS):
        even = term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term))
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1))
        change = np.ones(x.shape)
        for part in (even, odd):
            d, c = 1 + part * d, 1 + part / c
            d = 1 / np.where(np.abs(d) < tiny, tiny, d)
            c = np.where(np.abs(c) < tiny, tiny, c)
            change = change * (c * d)
            found = found * (c * d)
        if (np.abs(change - 1) < 1e-15).all():
            break
    return found


def log_gamma(z: Doubles) -> Doubles:
    """Return log Gamma of positive numbers: Stirling's series at z + 8, brought back by Gamma(z + 1) = z Gamma(z)."""
    back = np.zeros(np.shape(z))
    for step in range(8):
        back = back + log(z + step)
    w = z + 8
    square = 1 / (w * w)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / w
    return (w - 0.5) * log(w) - w + 0.5 * math.log(2 * math.pi) + series - back


_LOG_2_HIGH, _LOG_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""log 2 in two parts, the first of which has few enough digits that its products with exponents are exact."""


def exp(x: Doubles) -> Doubles:
    """Return the exponential within a few units in the last place; 0 below -745 and infinity above 709."""
    limited = np.clip(x, -760, 720)
    power = np.rint(limited / math.log(2))
    rest = limited - power * _LOG_2_HIGH - power * _LOG_2_LOW
    series = np.ones(np.shape(rest))
    for term in range(14, 0, -1):
        series = 1 + series * rest / term
    with np.errstate(over="ignore", under="ignore"):
        found: Doubles = np.ldexp(series, power.astype(np.int32))
    return found


def _rational(parts: tuple[Sequence[float], Sequence[float]], r: Doubles) -> Doubles:
    numerator, denominator = (_polynomial(part, r) for part in parts)
    return numerator / denominator


def _polynomial(coefficients: Sequence[float], r: Doubles) -> Doubles:
    found = np.full(np.shape(r), coefficients[0])
    for coefficient in coefficients[1:]:
        found = found * r + coefficient
    return found
