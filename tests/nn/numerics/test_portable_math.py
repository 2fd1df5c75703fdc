"""Logarithms in plain arithmetic, against those of the library."""

import math

import numpy as np

from cellar.nn.numerics.portable_math import log, log_tan


def test_log() -> None:
    x = np.concatenate([np.logspace(-300, 300, 2001), 1 + np.linspace(-0.3, 0.5, 1001)])
    expected = np.array([math.log(value) for value in x])
    np.testing.assert_allclose(log(x), expected, rtol=1e-15, atol=1e-16)


def test_log_of_a_tangent() -> None:
    angle = np.concatenate([np.linspace(1e-3, math.pi / 2 - 1e-3, 2001), np.logspace(-7, -1, 101)])
    expected = np.array([math.log(math.tan(value)) for value in angle])
    np.testing.assert_allclose(log_tan(angle), expected, rtol=1e-13, atol=1e-13)
