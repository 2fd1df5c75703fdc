"""The JSON of networks and training runs: strict, with defaults, there and back."""

from typing import Any

import pytest
from pydantic import ValidationError

from cellar.nn.spec import NetworkSpec
from cellar.nn.training import TrainingSpec
from tests.nn.golden.cases import NETWORKS, RUNS, dense, network, recurrent

FULL = network(
    3,
    recurrent({"equations": "h = W @ x + h", "sizes": {"p": 2}, "init": {"W": {"uniform": [0, 1]}}}, 5),
    recurrent("lstm", 4, trainable_state=True, init={"b_f": {"constant": 2}}),
    dense(2, "softmax", bias=False),
)


@pytest.mark.parametrize("spec", [*NETWORKS.values(), FULL])
def test_a_network_is_the_same_after_a_way_through_json(spec: dict[str, Any]) -> None:
    first = NetworkSpec.model_validate(spec)
    assert NetworkSpec.model_validate_json(first.model_dump_json()) == first
    assert NetworkSpec.model_validate(first.model_dump(mode="json")) == first


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"in_size": "3"}, ("in_size",)),
        ({"in_size": True}, ("in_size",)),
        ({"in_size": 0}, ("in_size",)),
        ({"in_size": 3.5}, ("in_size",)),
        ({"layers": []}, ("layers",)),
        ({"layers": [{"type": "conv"}]}, ("layers", 0)),
        ({"layers": [dense(1), dense(0)]}, ("layers", 1, "dense", "out_size")),
        ({"layers": [dense(1, "gelu")]}, ("layers", 0, "dense", "activation")),
        ({"layers": [dense(1, units=3)]}, ("layers", 0, "dense", "units")),
        ({"layers": [dense(1, init={"b": "normal"})]}, ("layers", 0, "dense", "init", "b", "named")),
        ({"layers": [dense(1, init={"b": {"constant": float("nan")}})]}, ("layers", 0, "dense", "init", "b")),
        ({"layers": [recurrent("lstm", 2, trainable_state=1)]}, ("layers", 0, "recurrent", "trainable_state")),
        ({"more": 1}, ("more",)),
    ],
)
def test_each_fault_of_a_network_is_reported_once_and_located(change: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        NetworkSpec.model_validate({**network(3, dense(1)), **change})
    (error,) = caught.value.errors()
    assert error["loc"][: len(place)] == place


@pytest.mark.parametrize("optimiser", RUNS.values())
def test_a_run_is_the_same_after_a_way_through_json(optimiser: dict[str, Any]) -> None:
    fields = {"optimiser": optimiser, "loss": {"type": "huber"}, "early_stopping": {"patience": 3}, "validation": 0.5}
    first = TrainingSpec.model_validate(fields)
    assert TrainingSpec.model_validate_json(first.model_dump_json()) == first
    assert TrainingSpec.model_validate(first.model_dump(mode="json")) == first


def test_a_bare_name_stands_for_the_defaults() -> None:
    assert TrainingSpec.model_validate({"optimiser": "adam", "loss": "mse"}) == TrainingSpec()
    schedule = TrainingSpec.model_validate({"optimiser": {"type": "sgd", "schedule": "cosine"}}).optimiser.schedule
    assert schedule.type == "cosine"


@pytest.mark.parametrize(
    "fields",
    [
        {"optimiser": "adm"},
        {"optimiser": {"type": "adam", "momentum": 0.5}},
        {"optimiser": {"type": "adam", "learning_rate": 0}},
        {"optimiser": {"type": "adam", "beta1": 1}},
        {"optimiser": {"type": "adam", "epsilon": 0}},
        {"loss": "hinge"},
        {"epochs": 0},
        {"epochs": True},
        {"batch_size": "4"},
        {"window": 3, "skip": 3},
        {"warmup": -1},
        {"validation": 1},
        {"validation": 0},
        {"early_stopping": {"patience": 0}},
        {"state": "keep"},
        {"reduce": "max"},
        {"seed": -1},
        {"learning_rate": 0.1},
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate(fields)
