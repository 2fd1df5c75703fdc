"""Weights that a session learns by truncated backpropagation, beside the update of a training run on the same steps."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import Floats, KernelCache
from cellar.errors import InvalidInput, StateNotFinite
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.learning.bptt_network import BpttNetwork, bptt_learning_of
from cellar.nn.learning.spec import BpttSpec, Learning
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.optimisers.sgd import Sgd
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit

LAYERS = [{"type": "recurrent", "cell": "gru", "hidden_size": 4}, {"type": "dense", "out_size": 1}]
RANDOM = np.random.default_rng(5)
INPUTS: Floats = RANDOM.normal(size=(40, 1, 2)).astype(np.float32)
TARGETS: Floats = RANDOM.normal(size=(40, 1)).astype(np.float32)


def learning(cache: KernelCache, **spec: Any) -> tuple[BpttNetwork, CompiledNetwork, dict[str, Floats]]:
    """Return a network that learns, and its parts."""
    network = Network(NetworkSpec.model_validate({"in_size": 2, "layers": LAYERS}))
    compiled, weights = CompiledNetwork(network, cache), network.init(3)
    found = bptt_learning_of(network, BpttSpec(**spec))
    return BpttNetwork(compiled.bind(weights, inference=True), compiled, found, weights), compiled, weights


def lived(learns: BpttNetwork, steps: int = 40) -> tuple[bytes, list[float]]:
    """Step, and learn the target of each step behind it; return the last state and the squared errors."""
    state, errors = learns.initial_state(1).tobytes(), []
    for step in range(steps):
        run = learns.run(INPUTS[step : step + 1], (state,))
        errors.append(float(run.outputs[0, 0, 0] - TARGETS[step, 0]) ** 2)
        state = learns.learn(run.state.tobytes(), [1], TARGETS[step : step + 1])
    return state, errors


def test_an_update_is_that_of_a_training_run(cache: KernelCache) -> None:
    learns, compiled, weights = learning(cache, learning_rate=0.1, clip_norm=1000)
    run = learns.run(INPUTS[:6], learns.initial_state(1))
    state = learns.learn(run.state.tobytes(), range(6, 0, -1), TARGETS[:6])
    optimiser = Sgd(type="sgd", learning_rate=0.1, clip_norm=1000)
    spec = TrainingSpec(loss=MeanSquaredError(type="mse"), optimiser=optimiser, epochs=1)
    *_, last = fit(compiled, weights, Dataset(INPUTS[:6], TARGETS[:6, None]), spec)
    result = last.weights()
    trained = np.concatenate([result[name].reshape(-1) for name, _ in compiled.network.parameters])
    began = np.concatenate([weights[name].reshape(-1) for name, _ in compiled.network.parameters])
    np.testing.assert_allclose(began + learns.learnt(state).delta, trained, rtol=1e-6, atol=1e-7)


def test_bits_do_not_depend_on_the_batch_or_the_process(cache: KernelCache) -> None:
    learns, compiled, weights = learning(cache, learning_rate=0.05, window=4)
    bound = compiled.bind(weights, inference=True)
    first = learns.run(INPUTS[:9], learns.initial_state(1))
    assert first.outputs.tobytes() == bound.run(INPUTS[:9], bound.initial_state(1)).outputs.tobytes()
    state, _ = lived(learns, 10)
    other, *_ = learning(cache, learning_rate=0.05, window=4)
    assert lived(other, 10)[0] == state, "also if it was packed elsewhere"
    again = learns.initial_state(1).tobytes()
    inputs = np.concatenate([INPUTS[:7], INPUTS[7:14]], axis=1)
    together = learns.run(inputs, (state, again), np.array([7, 3], np.int32))
    for step in INPUTS[:7]:
        state = other.run(step[None], (state,)).state.tobytes()
    again = other.run(INPUTS[7:10], (again,)).state.tobytes()
    assert together.state.tobytes() == state + again


def test_errors_fall_and_targets_may_come_late(cache: KernelCache) -> None:
    learns, *_ = learning(cache, learning_rate=0.1, window=8)
    state, target = learns.initial_state(1).tobytes(), np.full((1, 1), 0.7, np.float32)
    errors = []
    for step in range(200):
        run = learns.run(np.ones((1, 1, 2), np.float32), (state,))
        errors.append(float(run.outputs[0, 0, 0] - 0.7) ** 2)
        state = run.state.tobytes()
        if step >= 3:
            state = learns.learn(state, [4], target)
    assert np.mean(errors[-20:]) < 1e-3 * np.mean(errors[:5])
    learnt = learns.learnt(state)
    losses = learnt.losses()
    assert losses is not None
    assert (learnt.updates, losses[1] < losses[0]) == (197, True)
    assert learns.learnt(learns.forgotten(state)).delta.any() == np.False_
    assert learns.learnt(learns.restarted(state)).delta.tobytes() == learnt.delta.tobytes()


def test_only_the_chosen_layers_learn(cache: KernelCache) -> None:
    learns, *_ = learning(cache, layers=(1,))
    assert learns.learnt(lived(learns, 3)[0]).delta.shape == (5,)
    with pytest.raises(InvalidInput) as refused:
        learning(cache, layers=(0, 7))
    assert refused.value.pointer == "/learning/layers/1"
    wide = Network(NetworkSpec.model_validate({"in_size": 200, "layers": LAYERS}))
    with pytest.raises(InvalidInput, match="too much"):
        bptt_learning_of(wide, BpttSpec(window=4096))
    found = bptt_learning_of(Network(NetworkSpec.model_validate({"in_size": 2, "layers": LAYERS})), BpttSpec())
    assert Learning.read(found.text) == found


def test_targets_that_cannot_be_learnt_change_nothing(cache: KernelCache) -> None:
    learns, *_ = learning(cache, learning_rate=10, clip_norm=1e6)
    state = learns.run(INPUTS[:2], learns.initial_state(1)).state.tobytes()
    with pytest.raises(StateNotFinite):
        learns.learn(state, [1], np.full((1, 1), 3e38, np.float32))
