"""The layer of readings: what is refused, what stays constant in training, and its identity."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cellar.engine import KernelCache
from cellar.errors import CellarError
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.readings.table import encode
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn.oracle import make_network
from tests.nn.readings.tables import fitted, network_of, weather

TEMP: dict[str, Any] = {"kind": "number", "name": "temp", "lags": [1, 2]}
DENSE: dict[str, Any] = {"type": "dense", "out_size": 1}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], "a column of numbers or of categories"),
        ([{"kind": "time", "name": "at"}], "a column of numbers or of categories"),
        ([TEMP, TEMP], "two columns are named 'temp'"),
        ([TEMP | {"per_series": True}], "a column of the kind series is needed"),
        ([TEMP | {"lags": [1, 1]}], "each may be named once"),
        ([TEMP, {"kind": "time", "name": "at", "zone": "Mars/Olympus"}], "no time zone is named 'Mars/Olympus'"),
        (
            [TEMP, {"kind": "time", "name": "a"}, {"kind": "time", "name": "b"}],
            "at most one column is of the kind time",
        ),
    ],
)
def test_columns_that_contradict_each_other_are_refused(columns: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ReadingsSpec.model_validate({"columns": columns})


@pytest.mark.parametrize(
    ("network", "pointer"),
    [
        ({"in_size": 1, "layers": [{"type": "readings", "columns": [TEMP]}]}, "/layers/0/columns/0/fitted"),
        (
            {"in_size": 1, "layers": [{"type": "readings", "columns": [{"kind": "category", "name": "c"}]}]},
            "/layers/0/columns/0/categories",
        ),
        ({"in_size": 1, "layers": [DENSE, fitted([TEMP], weather()).model_dump(exclude_none=True)]}, "/layers/1"),
        ({"in_size": 3, "layers": [fitted([TEMP], weather()).model_dump(exclude_none=True)]}, "/in_size"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_its_place(network: Any, pointer: str) -> None:
    with pytest.raises(CellarError) as error:
        make_network(network)
    assert getattr(error.value, "pointer", None) == pointer


def test_training_leaves_the_constants_as_they_are(cache: KernelCache) -> None:
    spec, table = fitted([TEMP], weather()), weather()
    network = network_of(spec, {"type": "recurrent", "cell": "gru", "hidden_size": 4}, DENSE)
    compiled, weights = CompiledNetwork(network, cache), network.init(0)
    inputs = encode(spec.layout, table, [slice(0, 200), slice(200, 400)])
    assert np.isnan(inputs).any()
    data = Dataset(inputs[:-1], np.nan_to_num(inputs[1:, :, :1]) / np.float32(20))
    settings: dict[str, Any] = {"window": 32, "batch_size": 4, "epochs": 2, "validation": 0.2}
    settings["optimiser"] = {"type": "adam", "learning_rate": 0.01, "weight_decay": 0.1}
    *_, last = fit(compiled, weights, data, TrainingSpec.model_validate(settings))
    after = last.weights()
    assert network.frozen == {name for name in weights if name.startswith("0.")}
    for name, values in weights.items():
        assert (after[name].tobytes() == values.tobytes()) == (name in network.frozen), name
    assert last.history[-1].loss < last.history[0].loss


def test_what_was_fitted_is_part_of_the_identity_of_a_network() -> None:
    one, other = (network_of(fitted([TEMP], weather(seed=seed))) for seed in (0, 1))
    assert one.digest != other.digest
    assert one.digest == network_of(fitted([TEMP], weather())).digest
