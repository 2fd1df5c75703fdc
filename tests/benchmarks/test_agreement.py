"""Runners that compute something else are found, whichever of them it is."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import Disagreement, check_agreement
from benchmarks.cases import Case
from benchmarks.ours import cellar, cellar_custom
from benchmarks.race import Effort, race
from benchmarks.weights import draw_inputs, draw_states, draw_weights
from cellar.engine import KernelCache

CASE = Case("lstm", 3, 5, 2, 4)


def test_equal_runners_race_and_others_do_not(kernel_directory: Path) -> None:
    cache = KernelCache(kernel_directory)
    random = np.random.default_rng(1)
    weights = draw_weights(CASE, random)
    data = draw_inputs(CASE, random), draw_states(CASE, random)
    ours, same = cellar(CASE, weights, cache), cellar_custom(CASE, weights, cache)
    np.testing.assert_array_equal(same.states(same.begin(data[1])), data[1])

    (result,) = race(CASE, [ours], [same], data, Effort(rounds=3, calls=1, case_s=1))
    assert (result.best, set(result.peers_s)) == ("custom", {"custom"})
    assert result.ratio.low <= result.ratio.median <= result.ratio.high

    weights.layers[0].bi[1] += 1e-3
    other = cellar(CASE, weights, cache)
    other.name = "other"
    with pytest.raises(Disagreement, match="and other differ by"):
        check_agreement([ours, same, other], *data)
