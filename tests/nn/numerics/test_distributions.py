"""Quantiles of distributions equal those of SciPy 1.17 and of the standard library."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from cellar.nn.numerics import distributions

LEVELS = np.array([0.001, 0.1, 0.3, 0.7, 0.95, 0.999])

STUDENT = {
    2.0: (-22.327124770119873, -1.8856180831641267, -0.6172133998483678, 0.6172133998483674, 2.9199855803537242),
    3.3: (-8.951595109462504, -1.5983669585600868, -0.5786127636856563, 0.5786127636856561, 2.2686545667554645),
    40.0: (-3.3068777140858225, -1.3030770526071946, -0.5286056795508961, 0.5286056795508961, 1.683851013335652),
}
"""By degrees of freedom, `scipy.stats.t.ppf` of all levels but the last, which is the first with another sign."""

NEGATIVE_BINOMIAL = {
    (0.2, 0.5): (0, 0, 0, 0, 1, 4),
    (3.0, 0.5): (0, 0, 0, 3, 12, 35),
    (500.0, 2.0): (10, 132, 274, 610, 1187, 2312),
    (2e4, 0.01): (0, 0, 0, 0, 6725, 3018169),
    (100.0, 1e4): (70, 87, 95, 105, 117, 132),
}
"""By mean and count, `scipy.stats.nbinom.ppf`."""


def test_normal_quantiles_are_those_of_the_standard_library() -> None:
    levels = np.array([1e-300, 1e-12, 1e-5, 0.01, 0.075, 0.3, 0.5, 0.7, 0.999, 1 - 1e-9])
    expected = [NormalDist().inv_cdf(level) for level in levels]
    np.testing.assert_allclose(distributions.normal_quantile(levels), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("degrees", STUDENT)
def test_student_quantiles_are_those_of_scipy(degrees: float) -> None:
    found = distributions.student_quantile(LEVELS, np.array([degrees]))
    np.testing.assert_allclose(found, [*STUDENT[degrees], -STUDENT[degrees][0]], rtol=1e-11)
    assert abs(distributions.student_quantile(np.array([0.5]), np.array([degrees]))[0]) < 1e-7


@pytest.mark.parametrize("shape", NEGATIVE_BINOMIAL)
def test_negative_binomial_quantiles_are_those_of_scipy(shape: tuple[float, float]) -> None:
    mean, count = (np.array([number]) for number in shape)
    found = distributions.negative_binomial_quantile(LEVELS, mean, count)
    np.testing.assert_array_equal(found, NEGATIVE_BINOMIAL[shape])


def test_exp_and_log_gamma_are_those_of_the_standard_library() -> None:
    x = np.linspace(-700, 700, 701)
    np.testing.assert_allclose(distributions.exp(x), np.exp(x), rtol=4e-16)
    np.testing.assert_array_equal(distributions.exp(np.array([-800.0, 800.0])), [0, math.inf])
    z = np.array([1e-3, 0.5, 1, 2.5, 30, 1e6])
    np.testing.assert_allclose(distributions.log_gamma(z), [math.lgamma(each) for each in z], rtol=1e-12, atol=1e-13)
