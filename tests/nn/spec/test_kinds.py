"""Families of specifications: modules found by name, told apart by their type, in that order."""

from collections.abc import Sequence

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from cellar.nn.model import layers
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.spec.kinds import load, types_of
from cellar.nn.training import losses, optimisers, schedules
from cellar.nn.training.loss import Loss
from cellar.nn.training.losses.huber import HuberLoss
from cellar.nn.training.losses.mse import MeanSquaredError


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (layers.NAMES, layers.LAYERS),
        (losses.NAMES, losses.LOSSES),
        (optimisers.NAMES, optimisers.OPTIMISERS),
        (schedules.NAMES, schedules.SCHEDULES),
    ],
)
def test_a_module_is_named_by_the_type_that_chooses_its_kind(
    names: Sequence[str], kinds: Sequence[type[BaseModel]]
) -> None:
    assert [types_of(kind)[0] for kind in kinds] == list(names)


def test_kinds_are_found_in_the_order_of_their_names() -> None:
    assert load(losses.__name__, Loss, ["mse", "huber"]) == (MeanSquaredError, HuberLoss)
    assert load(losses.__name__, Loss, ["huber", "mse"]) == (HuberLoss, MeanSquaredError)


def test_a_module_without_a_kind_of_the_family_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        load(losses.__name__, LayerSpec, ["mse"])


def test_a_bare_name_is_offered_where_a_kind_requires_nothing_else() -> None:
    adapter = TypeAdapter[schedules.ScheduleSpec](schedules.ScheduleSpec)
    named, _ = adapter.json_schema()["anyOf"]
    assert {"constant", "cosine"} <= set(named["enum"])
    assert "step" not in named["enum"]
    assert adapter.validate_python("cosine").type == "cosine"
    with pytest.raises(ValidationError, match="every"):
        adapter.validate_python("step")
