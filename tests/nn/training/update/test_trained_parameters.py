"""Frozen layers and parameters: they stay bit for bit, and the others learn as they would."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check, fit
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.loss_gradient import LossGradient
from cellar.nn.training.update.trained_parameters import TrainedParameters
from cellar.nn.training.update.weight_vector import Trainee, joined
from tests.nn.oracle import make_network
from tests.nn.training.update.test_loss_gradient import SPECS
from tests.nn.training.update.test_loss_gradient import data as some_data

FROZEN: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "first layer": ("deep", (0,)),
    "last layer": ("deep", (3,)),
    "inside a residual layer": ("deep", (1,)),
    "first layers and an initial state": ("deep", (0, "1.h0")),
    "all but an initial state": ("deep", (1, 2, 3, *(f"0.{each}_{g}" for g in "rzn" for each in ("Wi", "Wh", "b")))),
    "embedding": ("ids", (0,)),
    "one direction": ("whole", ("3.reverse", 0)),
    "all but the last": ("both ends", (0, "1.forward")),
}

DIVIDED = [name for name, (network, _) in FROZEN.items() if network in ("deep", "ids")]


def ones(network: Network, steps: slice) -> Masks:
    """Return masks of dropout that keep everything, for 5 rows."""
    return {
        index: np.ones((steps.stop - steps.start, 5, layer.cell.out_size), np.float32)
        for index, layer in enumerate(network.layers)
        if layer.dropout
    }


@pytest.mark.parametrize(
    ("name", "divided"), [(name, which) for name in FROZEN for which in (False, True)[: 2 if name in DIVIDED else 1]]
)
def test_the_gradient_of_what_is_trained_has_the_same_bits(name: str, divided: bool, cache: KernelCache) -> None:
    network_name, freeze = FROZEN[name]
    compiled = CompiledNetwork(make_network(SPECS[network_name]), cache)
    network = compiled.network
    trained = TrainedParameters(network, TrainingSpec(freeze=freeze))
    weights = joined(network, network.init(1))
    data = some_data(ids=network.takes_ids)
    batch = Batch(None, data.inputs[:11], data.targets[:11], 0, None)
    found = []
    for frozen in (frozenset[str](), trained.frozen):
        trainee = Trainee(compiled)
        bound = trainee.load(weights)
        loss = CompiledLoss(MeanSquaredError(type="mse"), network.out_size, compiled.arithmetic)
        gradient = LossGradient(compiled, trainee, loss, 4 if divided else None, frozen=frozen)
        state = bound.initial_state(batch.inputs.shape[1])
        learnt = gradient.of(batch, state, lambda steps: ones(network, steps), [0.25], begins=True)
        found.append((learnt.gradient.copy(), learnt.losses, learnt.state))
    (whole, loss_, after), (part, same_loss, same_after) = found
    assert trained.of(whole).tobytes() == trained.of(part).tobytes()
    assert (loss_, after.tobytes()) == (same_loss, same_after.tobytes())
    assert trained.of(whole).any()


@pytest.mark.parametrize("optimiser", ["adamw", "lion", {"type": "momentum", "weight_decay": 0.1}])
def test_frozen_weights_stay_bit_for_bit(optimiser: Any, cache: KernelCache) -> None:
    compiled = CompiledNetwork(make_network(SPECS["deep"]), cache)
    begin = compiled.network.init(0)
    begin["0.Wi_r"][0, 0] = 1e-40  # kernels flush such weights
    spec = TrainingSpec.model_validate(
        {"freeze": [0, "2.W"], "optimiser": optimiser, "epochs": 2, "window": 9, "early_stopping": {"patience": 3}}
    ).model_copy(update={"batch_size": 4})
    told = list(fit(compiled, begin, some_data(ids=False), spec))
    end = told[-1].weights()
    for name, before in begin.items():
        assert (before.tobytes() == end[name].tobytes()) == (name.startswith("0.") or name == "2.W")
    *_, resumed = fit(compiled, begin, some_data(ids=False), spec, checkpoint=told[3].checkpoint())
    assert resumed.checkpoint() == told[-1].checkpoint()


def test_a_frozen_first_layer_is_not_run_back(cache: KernelCache) -> None:
    """It costs no time: neither its adjoint is run nor are values kept for it."""
    compiled = CompiledNetwork(make_network(SPECS["deep"]), cache)
    lengths = []
    for freeze in ((), (0,)):
        trained = TrainedParameters(compiled.network, TrainingSpec(freeze=freeze))
        trainee = Trainee(compiled)
        trainee.load(joined(compiled.network, compiled.network.init(1)))
        loss = CompiledLoss(MeanSquaredError(type="mse"), 2, compiled.arithmetic)
        gradient = LossGradient(compiled, trainee, loss, None, frozen=trained.frozen)
        data = some_data(ids=False)
        recorded = gradient._of_shape(Batch(None, data.inputs, data.targets, 0, None), begins=True, is_segment=False)
        lengths.append(len(recorded.backprop._backward))
    assert lengths[1] == lengths[0] - 1


@pytest.mark.parametrize(
    ("freeze", "pointer"), [((0, 9), "/freeze/1"), (("0.W",), "/freeze/0"), (("0", 1, 2, 3), "/freeze")]
)
def test_names_that_the_model_does_not_have(freeze: tuple[int | str, ...], pointer: str) -> None:
    network = make_network(SPECS["deep"])
    with pytest.raises(InvalidInput) as caught:
        check(network, some_data(ids=False), TrainingSpec(freeze=freeze))
    assert caught.value.pointer == pointer
    with pytest.raises(ValueError, match="freeze"):
        TrainingSpec.model_validate({"freeze": ["../x"]})


def test_settings_that_are_not_sent_are_not_in_documents() -> None:
    """Checkpoints and stored jobs of earlier versions are identified by these documents."""
    assert "freeze" not in TrainingSpec().model_dump()
    assert TrainingSpec(freeze=(0,)).model_dump(mode="json")["freeze"] == [0]
