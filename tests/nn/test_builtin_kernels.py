"""What an image warms is what a service then needs."""

import numpy as np
import pytest

from cellar.engine import kernel_texts
from cellar.jobs.recipe.planning.plan import make_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.nn.builtin_kernels import builtin_kernels
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.jobs.recipe.tables import hourly

TEXTS = set(builtin_kernels())

RECIPE = ForecastData.model_validate({"dataset": "readings", "targets": ["temp"], "horizon": 6})


@pytest.mark.parametrize(
    "recurrent", [{"cell": "rnn", "activation": "relu"}, {"cell": "lstm"}, {"cell": "gru"}, {"cell": "gru_v3"}]
)
@pytest.mark.parametrize("activation", ["identity", "softmax"])
def test_networks_of_built_in_layers_need_no_other_kernel(recurrent: dict[str, str], activation: str) -> None:
    layers = [
        {"type": "embedding", "count": 9, "out_size": 7},
        {"type": "residual", "layers": [{"type": "layer_norm"}, {"type": "dropout", "rate": 0.1}]},
        {"type": "bidirectional", "layer": {"hidden_size": 33, "trainable_state": True, **recurrent}},
        {"type": "dense", "out_size": 5, "activation": activation},
    ]
    network = Network(NetworkSpec.model_validate({"in_size": 1, "layers": layers}))
    assert set(kernel_texts([layer.cell for layer in network.layers], training=True)) <= TEXTS


def test_the_recipe_for_a_dataset_needs_no_other_kernel() -> None:
    plan = make_plan(hourly(20, volts=np.arange(480.0)), RECIPE, {})
    whole = Network(plan.network)
    trained = [layer.cell for layer in Network(plan.trained_network).layers]
    assert set(kernel_texts([layer.cell for layer in whole.layers])) <= TEXTS
    assert set(kernel_texts(trained, training=True)) <= TEXTS


def test_no_kernel_is_compiled_twice() -> None:
    assert len(TEXTS) == len(builtin_kernels())


def test_every_text_is_a_program() -> None:
    for text in TEXTS:
        compile(text, "kernel", "exec")
