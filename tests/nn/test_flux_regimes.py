"""Every regime of Flux's page on recurrent models, one test each, against loops written out in float64.

https://fluxml.ai/Flux.jl/v0.14/models/recurrence/ and its successor. `m` is the page's Chain(RNN(2, 5), Dense(5, 1)).
"""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.wire.arrays.layout import to_tbf
from tests.nn import oracle
from tests.nn.golden.cases import dense, network, recurrent

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]

RATE = 0.05
TOLERANCE = 2e-6
"""Weights near one, a few updates in float32: a dozen roundings of 6e-8, and as much again for the activations."""


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return the page's model."""
    return CompiledNetwork(oracle.make_network(network(2, recurrent("rnn", 5), dense(1))), cache)


@pytest.fixture
def m(compiled: CompiledNetwork) -> BoundNetwork:
    """Return the page's model with weights."""
    return compiled.bind(compiled.network.init(0))


def draw(*shape: int, seed: int = 0) -> Array:
    """Return what the page calls rand(Float32, ...)."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def train(compiled: CompiledNetwork, x: Array, y: Array, **fields: Any) -> Weights:
    """Train with plain gradient descent, and the page's sum over time."""
    spec = {"optimiser": {"type": "sgd", "learning_rate": RATE}, "reduce": "sum", "epochs": 1, **fields}
    *_, last = fit(compiled, compiled.network.init(0), Dataset(x, y), TrainingSpec.model_validate(spec))
    return last.weights()


def descend(
    network: Network, weights: Weights, x: Array, y: Array, state: Array, skip: int = 0
) -> tuple[Weights, Array]:
    """One update by the page's loss, sum(mse(m(xi), yi) for ...), written out: return weights and the state after."""
    run = oracle.forward(network, weights, x, state)
    d_outputs = np.zeros_like(run.outputs)
    d_outputs[skip:] = 2 * (run.outputs[skip:] - y) / (y.shape[1] * y.shape[2])
    gradients, _, _ = oracle.backward(network, weights, run, d_outputs)
    return {name: weights[name] - RATE * gradients[name] for name in weights}, run.state


def start(network: Network) -> Weights:
    """Return the first weights in float64."""
    return {name: array.astype(np.float64) for name, array in network.init(0).items()}


def assert_same(actual: Weights, expected: Weights) -> None:
    """Assert that weights agree."""
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], atol=TOLERANCE, err_msg=name)


def test_a_stateful_model_answers_the_same_input_differently(m: BoundNetwork) -> None:
    x, state = draw(1, 1, 2), m.initial_state(1)
    first = m.run(x, state)
    second = m.run(x, first.state)
    assert not np.array_equal(first.outputs, second.outputs)


def test_reset_begins_again(m: BoundNetwork) -> None:
    x = draw(3, 1, 2)
    first = m.run(x, m.initial_state(1))
    assert m.run(x, m.initial_state(1)).outputs.tobytes() == first.outputs.tobytes()


def test_single_steps_are_the_sequence(m: BoundNetwork) -> None:
    x, state = draw(3, 1, 2), m.initial_state(1)
    expected = oracle.forward(m.network, m.network.init(0), x, np.zeros((1, 5))).outputs
    for xi, yi in zip(x, expected, strict=True):
        run = m.run(xi[None], state)
        state = run.state
        np.testing.assert_allclose(run.outputs[0], yi, atol=TOLERANCE)


def test_a_whole_sequence_at_once(m: BoundNetwork) -> None:
    x = draw(3, 1, 2)
    expected = oracle.forward(m.network, m.network.init(0), x, np.zeros((1, 5))).outputs
    np.testing.assert_allclose(m.run(x, m.initial_state(1)).outputs, expected, atol=TOLERANCE)


def test_a_batch_of_four_sequences(m: BoundNetwork) -> None:
    x = draw(3, 4, 2)
    together = m.run(x, m.initial_state(4)).outputs
    for row in range(4):
        alone = m.run(np.ascontiguousarray(x[:, row : row + 1]), m.initial_state(1)).outputs
        assert together[:, row].tobytes() == alone[:, 0].tobytes()


def test_training_on_a_batch_of_four_sequences(compiled: CompiledNetwork) -> None:
    x, y = draw(3, 4, 2), draw(3, 4, 1, seed=1)
    expected, _ = descend(compiled.network, start(compiled.network), x, y, np.zeros((4, 5)))
    assert_same(train(compiled, x, y, batch_size=4), expected)


def test_first_outputs_left_out_of_the_loss(compiled: CompiledNetwork) -> None:
    """`m(x[1])` ignores the output but updates the hidden state, and its gradient flows; y is one shorter."""
    x, y = draw(3, 1, 2), draw(2, 1, 1, seed=1)
    expected, _ = descend(compiled.network, start(compiled.network), x, y, np.zeros((1, 5)), skip=1)
    assert_same(train(compiled, x, y, skip=1), expected)


def test_sequence_to_one(compiled: CompiledNetwork) -> None:
    x, y = draw(6, 3, 2), draw(1, 3, 1, seed=1)
    expected, _ = descend(compiled.network, start(compiled.network), x, y, np.zeros((3, 5)), skip=5)
    assert_same(train(compiled, x, y, skip=5), expected)


def test_warm_up_then_batches_that_continue_each_other(compiled: CompiledNetwork) -> None:
    """`reset!`, `seq_init` outside of the gradient, then `seq_1` and `seq_2` with the state flowing through."""
    x, y = draw(7, 1, 2), draw(6, 1, 1, seed=1)
    weights = start(compiled.network)
    state = oracle.forward(compiled.network, weights, x[:1], np.zeros((1, 5))).state
    weights, state = descend(compiled.network, weights, x[1:4], y[:3], state)
    weights, state = descend(compiled.network, weights, x[4:7], y[3:], state)
    assert_same(train(compiled, x, y, state="carry", warmup=1, window=3), weights)


def test_state_carried_over_batches_of_several_sequences_and_reset_at_every_epoch(compiled: CompiledNetwork) -> None:
    x, y = draw(6, 2, 2), draw(6, 2, 1, seed=1)
    weights = start(compiled.network)
    for _ in range(2):
        state = np.zeros((2, 5))
        for begin in (0, 3):
            weights, state = descend(compiled.network, weights, x[begin : begin + 3], y[begin : begin + 3], state)
    assert_same(train(compiled, x, y, state="carry", window=3, epochs=2), weights)


def test_independent_sequences_with_the_state_reset_before_each_batch(compiled: CompiledNetwork) -> None:
    """One batch of two rows and one of one, in the order that the seed gives."""
    x, y = draw(4, 3, 2), draw(4, 3, 1, seed=1)
    weights = start(compiled.network)
    candidates = []
    for alone in range(3):
        pair = [row for row in range(3) if row != alone]
        after, _ = descend(compiled.network, weights, x[:, pair], y[:, pair], np.zeros((2, 5)))
        after, _ = descend(compiled.network, after, x[:, [alone]], y[:, [alone]], np.zeros((1, 5)))
        candidates.append(after)
    found = train(compiled, x, y, batch_size=2)
    distances = [max(float(np.abs(found[n] - c[n]).max()) for n in found) for c in candidates]
    assert min(distances) < TOLERANCE < sorted(distances)[1]


def test_warm_up_before_every_independent_sequence(compiled: CompiledNetwork) -> None:
    x, y = draw(6, 2, 2), draw(4, 2, 1, seed=1)
    weights = start(compiled.network)
    state = oracle.forward(compiled.network, weights, x[:2], np.zeros((2, 5))).state
    expected, _ = descend(compiled.network, weights, x[2:], y, state)
    assert_same(train(compiled, x, y, warmup=2), expected)


def test_windows_of_one_long_sequence_as_independent_ones(compiled: CompiledNetwork) -> None:
    x, y = draw(6, 1, 2), draw(6, 1, 1, seed=1)
    stacked_x, stacked_y = np.concatenate([x[:3], x[3:]], axis=1), np.concatenate([y[:3], y[3:]], axis=1)
    expected, _ = descend(compiled.network, start(compiled.network), stacked_x, stacked_y, np.zeros((2, 5)))
    assert_same(train(compiled, x, y, window=3), expected)


def test_data_as_features_by_steps_by_samples(compiled: CompiledNetwork) -> None:
    x, y = draw(2, 3, 4), draw(1, 3, 4, seed=1)
    expected = train(compiled, np.ascontiguousarray(x.transpose(1, 2, 0)), np.ascontiguousarray(y.transpose(1, 2, 0)))
    found = train(compiled, to_tbf(x, "FTB"), to_tbf(y, "FTB"))
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }


def test_a_trained_initial_state(cache: KernelCache) -> None:
    """As the page's StackedRNN: the gradient of h0 is the sum over rows; warm-up cuts it off."""
    compiled = CompiledNetwork(
        oracle.make_network(network(2, recurrent("rnn", 5, trainable_state=True), dense(1))), cache
    )
    x, y = draw(4, 3, 2), draw(4, 3, 1, seed=1)
    weights = start(compiled.network)
    run = oracle.forward(compiled.network, weights, x, np.zeros((3, 5)))
    _, _, d_state = oracle.backward(compiled.network, weights, run, 2 * (run.outputs - y) / 3)
    np.testing.assert_allclose(train(compiled, x, y)["0.h0"], -RATE * d_state.sum(0), atol=TOLERANCE)
    assert not train(compiled, x, y, warmup=1)["0.h0"].any()


def test_the_mean_over_time_is_the_sum_with_a_smaller_step(compiled: CompiledNetwork) -> None:
    x, y = draw(4, 3, 2), draw(4, 3, 1, seed=1)
    by_mean = train(compiled, x, y, reduce="mean", optimiser={"type": "sgd", "learning_rate": 4 * RATE})
    assert_same(by_mean, train(compiled, x, y))
