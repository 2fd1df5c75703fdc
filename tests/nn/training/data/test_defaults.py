"""What is chosen for one long series, and that nothing is chosen where something was sent."""

from typing import Any

import numpy as np
import pytest

from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.data.defaults import UPDATES, resolve
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check
from tests.nn import oracle
from tests.nn.golden.cases import bidirectional, dense, network, recurrent

SMALL = oracle.make_network(network(1, recurrent("gru", 4), dense(1)))


def series(steps: int, rows: int = 1) -> Dataset:
    """Return data of so many steps and rows."""
    values = np.zeros((steps, rows, 1), np.float32)
    return Dataset(values, values)


@pytest.mark.parametrize("steps", [64, 65, 100, 1000, 4096, 100_000])
def test_one_long_series_is_cut_into_windows_and_trained_long_enough(steps: int) -> None:
    spec = resolve(SMALL, series(steps), TrainingSpec())
    assert spec.state == "carry"
    assert spec.window is not None
    assert 16 <= spec.window <= 128
    assert check(SMALL, series(steps), spec).updates >= UPDATES
    assert spec.epochs >= 10


@pytest.mark.parametrize("fields", [{"epochs": 3}, {"validation": 0.2, "seed": 4, "optimiser": "sgd"}])
def test_what_was_sent_stays(fields: dict[str, Any]) -> None:
    sent = TrainingSpec.model_validate(fields)
    found = resolve(SMALL, series(1000), sent)
    assert found.window is not None
    assert {name: getattr(found, name) for name in fields} == {name: getattr(sent, name) for name in fields}


@pytest.mark.parametrize(
    "fields",
    [{"window": None}, {"window": 7}, {"state": "reset"}, {"state": "carry"}, {"skip": 0}, {"warmup": 2}],
)
def test_a_sequence_that_the_sender_has_shaped_is_left_as_it_is(fields: dict[str, Any]) -> None:
    sent = TrainingSpec.model_validate(fields)
    assert resolve(SMALL, series(1000), sent) == sent


def test_rows_and_short_or_whole_sequences_are_left_as_they_are() -> None:
    both_ways = oracle.make_network(network(1, bidirectional("rnn", 2), dense(1)))
    for model, data in ((SMALL, series(1000, 2)), (SMALL, series(63)), (both_ways, series(1000))):
        assert resolve(model, data, TrainingSpec()) == TrainingSpec()
    assert resolve(SMALL, series(70), TrainingSpec(validation=0.2)).window is None
