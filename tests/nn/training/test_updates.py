"""Updates of the weights: gradients of several batches, averages, rates of layers and of updates."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoints.progress import Progress
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check, fit
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network
from tests.nn.training.test_trainer import wave

SGD = {"type": "sgd", "learning_rate": 0.1}


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a small network."""
    return CompiledNetwork(make_network(network(1, recurrent("gru", 4), dense(1))), cache)


def run(compiled: CompiledNetwork, data: Dataset | None = None, **fields: Any) -> list[Progress]:
    """Return all progress of a run, which goes on from any checkpoint to the same bits."""
    spec = TrainingSpec.model_validate({"epochs": 4, "optimiser": SGD, **fields})
    begin, data = compiled.network.init(0), data or wave(31, 6)
    told = list(fit(compiled, begin, data, spec))
    for stop in (1, len(told) // 2):
        *_, last = fit(compiled, begin, data, spec, checkpoint=told[stop].checkpoint())
        assert last.checkpoint() == told[-1].checkpoint()
    return told


def joined(progress: Progress) -> Any:
    """Return all weights as a vector."""
    return np.concatenate([each.reshape(-1) for each in progress.weights().values()])


def test_gradients_of_several_batches_are_averaged(compiled: CompiledNetwork) -> None:
    """Then six rows in batches of two are one batch of six."""
    small, large = run(compiled, batch_size=2, accumulate=3), run(compiled, batch_size=6)
    np.testing.assert_allclose(joined(small[-1]), joined(large[-1]), rtol=1e-5, atol=1e-7)
    told = run(compiled, batch_size=2, accumulate=2)
    changed = [not np.array_equal(joined(a), joined(b)) for a, b in pairwise(told)]
    assert changed[:5] == [True, True, False, True, True]  # the last batch of an epoch is an update of its own


def test_the_result_is_the_moving_average(compiled: CompiledNetwork) -> None:
    plain = [joined(each) for each in run(compiled, batch_size=3)]
    told = run(compiled, batch_size=3, average={"type": "ema", "decay": 0.75})
    expected = plain[0].astype(np.float64)
    for weights, progress in zip(plain, told, strict=True):
        expected = 0.75 * expected + 0.25 * weights
        np.testing.assert_allclose(joined(progress), expected, rtol=1e-5, atol=1e-7)


def test_layers_have_rates_of_their_own(compiled: CompiledNetwork) -> None:
    fields: dict[str, Any] = {"optimiser": SGD | {"clip_norm": 0.01}, "epochs": 2, "batch_size": 6}
    begin, plain = compiled.network.init(0), run(compiled, **fields)[0].weights()
    found = run(compiled, **fields, learning_rates={"0": 0.5, "0.b_r": 3, "1": 0})[0].weights()
    for name, weights in found.items():
        factor = 3 if name == "0.b_r" else 0.5 if name.startswith("0.") else 0
        expected = begin[name] + factor * (plain[name].astype(np.float64) - begin[name])
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)
    same = run(compiled, optimiser="adam", learning_rates={"0": 1, "1.b": 1}, freeze=["0.b_r"])[-1]
    assert np.array_equal(joined(same), joined(run(compiled, optimiser="adam", freeze=["0.b_r"])[-1]))
    with pytest.raises(InvalidInput) as caught:
        check(compiled.network, wave(), TrainingSpec.model_validate({"learning_rates": {"7": 1}}))
    assert caught.value.pointer == "/learning_rates/7"


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 4, [0.05, 0.1, 0.1, 0.1]),
        ({"type": "linear", "minimum": 0.02}, None, [0.09, 0.07, 0.05, 0.03]),
        ({"type": "one_cycle", "rise": 0.25, "start": 10, "end": 10}, None, [0.1, 0.0, 0.0, 0.001]),
    ],
)
def test_rates_change_with_each_update(
    schedule: Any, warmup: int | None, expected: list[float], compiled: CompiledNetwork
) -> None:
    optimiser = {**SGD, "schedule": schedule} | ({} if warmup is None else {"warmup_updates": warmup})
    found = [record.learning_rate for record in run(compiled, batch_size=3, optimiser=optimiser)[-1].history]
    for rate, number in zip(found, expected, strict=True):
        assert number == 0.0 or rate == pytest.approx(number)
    assert found[1] > found[2] or warmup is not None


def test_the_rate_falls_on_a_plateau(compiled: CompiledNetwork) -> None:
    schedule = {"type": "plateau", "patience": 2, "factor": 0.5, "min_delta": 10, "minimum": 0.02}
    told = run(compiled, epochs=9, optimiser={**SGD, "schedule": schedule}, validation=0.3)
    rates = [record.learning_rate for record in told[-1].history]
    assert rates == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.02, 0.02]
