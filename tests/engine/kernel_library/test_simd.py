"""Lanes do what IEEE 754 says: the bits of NumPy's float32 on ordinary and on special numbers."""

import numpy as np
import pytest

from cellar.engine.ir.graph import Operation
from cellar.engine.ir.ops import OPS
from tests.engine.probe import Floats, Probe

_JUST_BELOW = float(np.nextafter(np.float32(2.0**-63), np.float32(0)))
_MAGNITUDES = [0.0, 1, 0.5, 7.25, 16777217, 3.4e38, 2.0**-126, 2.0**-149, 1e-40, 2.0**-63, _JUST_BELOW, np.inf]
SPECIALS = np.array(
    [*_MAGNITUDES, *(-m for m in _MAGNITUDES), np.nan, 88.8, -104, 1e-3, 3, -1e-20, 1e20, -3], np.float32
)
A, B = (np.ascontiguousarray(grid.reshape(-1, 16)) for grid in np.meshgrid(SPECIALS, SPECIALS))
EXACT = [op for op in OPS if op.exact and op.arity <= 2]


def same_bits(ours: Floats, theirs: Floats) -> None:
    """Assert equal bits; one NaN is as good as another."""
    nan = np.isnan(theirs)
    np.testing.assert_array_equal(np.isnan(ours), nan)
    np.testing.assert_array_equal(ours[~nan].view(np.uint32), theirs[~nan].view(np.uint32))


@pytest.mark.parametrize("op", EXACT, ids=str)
def test_exact_operations_on_special_numbers(probe: Probe, op: Operation) -> None:
    with np.errstate(all="ignore"):
        theirs = op.numpy(*(A, B)[: op.arity])
    assert theirs.dtype == np.float32
    same_bits(probe(A, B)[op.name], theirs)


def test_exact_operations_on_ordinary_numbers(probe: Probe) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 4096)).astype(np.float32)
    found = probe(a, b)
    with np.errstate(all="ignore"):
        for op in EXACT:
            same_bits(found[op.name], op.numpy(*(a, b)[: op.arity]))


def test_select_takes_the_second_where_a_comparison_fails(probe: Probe) -> None:
    same_bits(probe(A, B)["select"], np.where(A > B, -A, B))


def test_fma_rounds_once(probe: Probe) -> None:
    a = np.full(16, 1 + 2.0**-12, np.float32)
    b = np.full(16, -(1 + 2.0**-12), np.float32)
    exact = a.astype(np.float64) * b + a  # fits a float64
    np.testing.assert_array_equal(probe(a, b)["fma"], exact.astype(np.float32))
    assert (probe(a, b)["fma"] != a * b + a).all()


def test_flush(probe: Probe) -> None:
    found = probe(A)["flush"]
    tiny = np.abs(A) < 2.0**-63
    assert not found[tiny].view(np.uint32).any()
    same_bits(found[~tiny], A[~tiny])


def test_sums_and_peaks_of_lanes_are_fixed_trees(probe: Probe) -> None:
    values = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    tree = values
    while tree.shape[1] > 1:
        half = tree.shape[1] // 2
        tree = tree[:, :half] + tree[:, half:]
    found = probe(values)
    same_bits(found["sum_lanes"], np.repeat(tree, 16, axis=1))
    same_bits(found["max_lanes"], np.repeat(values.max(axis=1, keepdims=True), 16, axis=1))
    values[:, 11] = np.nan
    assert np.isnan(probe(values)["max_lanes"]).all()
