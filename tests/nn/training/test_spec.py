"""The JSON of training runs: strict, with defaults, there and back."""

from typing import Any

import pytest
from pydantic import ValidationError

from cellar.nn.training.spec import TrainingSpec
from tests.nn.golden.cases import (
    LOSSES,
    RUNS,
)


@pytest.mark.parametrize(
    "fields",
    [
        *({"optimiser": optimiser} for optimiser in RUNS.values()),
        {"optimiser": {"type": "lion", "schedule": "constant", "clip_norm": 1, "clip_value": 0.5, "weight_decay": 0.1}},
        *({"loss": loss, "reduce": "sum"} for loss in LOSSES.values()),
        {"state": "carry", "warmup": 3, "skip": 2, "window": 9, "batch_size": 1, "epochs": 1, "seed": 2**63 - 1},
        {"validation": 0.5, "early_stopping": {"patience": 3, "min_delta": 0.01}},
    ],
)
def test_a_run_is_the_same_after_a_way_through_json(fields: dict[str, Any]) -> None:
    first = TrainingSpec.model_validate(fields)
    assert TrainingSpec.model_validate_json(first.model_dump_json()) == first
    assert TrainingSpec.model_validate(first.model_dump(mode="json")) == first


def test_a_bare_name_stands_for_the_defaults() -> None:
    assert TrainingSpec.model_validate({"optimiser": "adam", "loss": "mse"}) == TrainingSpec()
    schedule = TrainingSpec.model_validate({"optimiser": {"type": "sgd", "schedule": "cosine"}}).optimiser.schedule
    assert schedule.type == "cosine"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"optimiser": "adm"}, ("optimiser",)),
        ({"optimiser": {"learning_rate": 1}}, ("optimiser",)),
        ({"optimiser": {"type": "adam", "momentum": 0.5}}, ("optimiser", "adam", "momentum")),
        ({"optimiser": {"type": "adam", "learning_rate": 0}}, ("optimiser", "adam", "learning_rate")),
        ({"optimiser": {"type": "adam", "beta1": 1}}, ("optimiser", "adam", "beta1")),
        ({"optimiser": {"type": "adam", "epsilon": 0}}, ("optimiser", "adam", "epsilon")),
        ({"optimiser": {"type": "sgd", "clip_norm": 0}}, ("optimiser", "sgd", "clip_norm")),
        ({"optimiser": {"type": "sgd", "weight_decay": "0"}}, ("optimiser", "sgd", "weight_decay")),
        ({"optimiser": {"type": "sgd", "schedule": "quadratic"}}, ("optimiser", "sgd", "schedule")),
        (
            {"optimiser": {"type": "sgd", "schedule": {"type": "step"}}},
            ("optimiser", "sgd", "schedule", "step", "every"),
        ),
        ({"loss": "hinge"}, ("loss",)),
        ({"loss": {"type": "huber", "delta": 0}}, ("loss", "huber", "delta")),
        ({"epochs": 0}, ("epochs",)),
        ({"epochs": True}, ("epochs",)),
        ({"batch_size": "4"}, ("batch_size",)),
        ({"window": 0}, ("window",)),
        ({"window": 3, "skip": 3}, ("skip",)),
        ({"warmup": -1}, ("warmup",)),
        ({"validation": 1}, ("validation",)),
        ({"validation": 0}, ("validation",)),
        ({"early_stopping": {"patience": 0}}, ("early_stopping", "patience")),
        ({"state": "keep"}, ("state",)),
        ({"reduce": "max"}, ("reduce",)),
        ({"seed": -1}, ("seed",)),
        ({"learning_rate": 0.1}, ("learning_rate",)),
    ],
)
def test_each_fault_of_a_run_is_reported_once_and_located(fields: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingSpec.model_validate(fields)
    (error,) = caught.value.errors()
    assert error["loc"] == place
