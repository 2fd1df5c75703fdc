"""Computes logarithms, sines and cosines in plain float64 arithmetic, because libraries differ between machines."""

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_LOG_TERMS = 13
"""Terms of the odd series in (m - 1) / (m + 1), at most 0.172: the rest is below 2^-66 of the first term."""

_SINE_TERMS = 12
"""Terms of the series of sine and cosine up to pi / 2: the rest is below 2^-60."""

_SINE_SERIES = tuple((-1) ** term / math.factorial(2 * term + 1) for term in range(1, _SINE_TERMS))
"""The coefficients of the series of sine(x) / x, without the first one."""


def log(x: Doubles) -> Doubles:
    """Return the natural logarithm of positive numbers, within a few units in the last place of the larger summand."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < math.sqrt(0.5)
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), np.where(low, exponent - 1, exponent)
    s = (mantissa - 1) / (mantissa + 1)
    series = np.zeros_like(s)
    for term in reversed(range(_LOG_TERMS)):
        series = series * (s * s) + 1 / (2 * term + 1)
    found: Doubles = exponent * math.log(2) + 2 * s * series
    return found


def log_tan(angle: Doubles) -> Doubles:
    """Return the natural logarithm of the tangent of angles between 0 and pi / 2, in radians."""
    return log(_sine(angle)) - log(_sine(math.pi / 2 - angle))


def sine_of_turns(turns: Doubles) -> Doubles:
    """Return the sine of 2 pi times a number of turns, with the same bits on every machine."""
    part = turns - np.rint(turns)
    size = np.abs(part)
    x = np.minimum(size, 0.5 - size) * (2 * math.pi)
    square = x * x
    series = square * _SINE_SERIES[-1]
    for coefficient in reversed(_SINE_SERIES[:-1]):
        series = (series + coefficient) * square
    found: Doubles = np.copysign(x * series + x, part)
    return found


def _sine(x: Doubles) -> Doubles:
    """Return the sine of angles between 0 and pi / 2."""
    series = np.ones_like(x)
    for term in reversed(range(1, _SINE_TERMS)):
        series = 1 - series * (x * x) / (2 * term * (2 * term + 1))
    return x * series
