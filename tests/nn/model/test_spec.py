"""The JSON of networks: strict, with defaults, there and back."""

from typing import Any

import pytest
from pydantic import ValidationError

from cellar.nn.model.spec import MAX_NESTING, NetworkSpec
from tests.nn.golden.cases import (
    LAYER_NORM,
    NETWORKS,
    bidirectional,
    dense,
    dropout,
    embedding,
    nest,
    network,
    recurrent,
    residual,
)

FULL = network(
    3,
    recurrent({"equations": "h = W @ x + h", "sizes": {"p": 2}, "init": {"W": {"uniform": [0, 1]}}}, 5),
    recurrent("lstm", 4, trainable_state=True, init={"b_f": {"constant": 2}}),
    dense(2, "softmax", bias=False),
)


NESTED = network(
    1,
    embedding(3, 2, init={"W": {"uniform": [-1, 1]}}),
    residual(LAYER_NORM, bidirectional("rnn", 1, init={"Wi": {"fan_in": 1}}), dropout(0.5), nest(dense(2), 3)),
)


@pytest.mark.parametrize("spec", [*NETWORKS.values(), FULL, NESTED])
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
        ({"layers": [dense(1, init={"b": {"uniform": [1, -1]}})]}, ("layers", 0, "dense", "init", "b", "uniform")),
        ({"layers": [dense(1, init={"b": {"ring": [0.5, 1]}})]}, ("layers", 0, "dense", "init", "b", "ring")),
        ({"layers": [dense(1, init={"b": {"phase": [2, 1]}})]}, ("layers", 0, "dense", "init", "b", "phase")),
        ({"layers": [dense(1, init={"W": {"fan_in": 0}})]}, ("layers", 0, "dense", "init", "W", "fan_in")),
        ({"layers": [recurrent("lstm", 2, trainable_state=1)]}, ("layers", 0, "recurrent", "trainable_state")),
        ({"layers": [dropout(1)]}, ("layers", 0, "dropout", "rate")),
        ({"layers": [bidirectional("rnn", 2, type="dense")]}, ("layers", 0, "bidirectional", "layer", "type")),
        ({"layers": [residual()]}, ("layers", 0, "residual", "layers")),
        ({"layers": [nest(dense(1), MAX_NESTING + 1)]}, ("layers",)),
        ({"layers": [nest(dense(1), 400)]}, ("layers",)),
        ({"layers": [nest(dense(0), MAX_NESTING)]}, ("layers", *(0, "residual", "layers") * MAX_NESTING, 0, "dense")),
        ({"more": 1}, ("more",)),
    ],
)
def test_each_fault_of_a_network_is_reported_once_and_located(change: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        NetworkSpec.model_validate({**network(3, dense(1)), **change})
    (error,) = caught.value.errors()
    assert error["loc"][: len(place)] == place
