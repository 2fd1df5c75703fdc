"""Layers that hold others, read from both ends, drop out or look ids up: against NumPy in float64."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from tests.nn import oracle
from tests.nn.execution.gradients import gradients
from tests.nn.golden.cases import (
    LAYER_NORM,
    bidirectional,
    dense,
    dropout,
    embedding,
    network,
    recurrent,
    residual,
    reverse,
)
from tests.nn.nested import Array, Nested, numerical

WHOLE = network(
    1,
    embedding(5, 4),
    dropout(0.5),
    residual(LAYER_NORM, bidirectional("rnn", 2), dropout(0.25)),
    bidirectional("rnn", 3, trainable_state=True),
    dense(2),
)
CAUSAL = network(
    3,
    residual(dropout(0.5), residual(recurrent("rnn", 3)), dense(3)),
    LAYER_NORM,
    recurrent("rnn", 3, trainable_state=True),
    dropout(0.5),
)
BOTH_ENDS = network(2, recurrent("rnn", 3, trainable_state=True), bidirectional("rnn", 2))
REVERSE = network(
    2,
    reverse("rnn", 3, trainable_state=True),
    bidirectional("rnn", 2) | {"reverse_layer": recurrent("rnn", 4, trainable_state=True)},
    residual(reverse("rnn", 6)),
)
NETWORKS = {"whole": WHOLE, "causal": CAUSAL, "both ends": BOTH_ENDS, "reverse": REVERSE}
STEPS, LENGTHS = 6, np.array([6, 1, 4, 5], np.int32)
ROWS = len(LENGTHS)


@pytest.fixture(scope="module", params=NETWORKS)
def bound(request: pytest.FixtureRequest, cache: KernelCache) -> BoundNetwork:
    """Return a network whose weights are all random."""
    built = oracle.make_network(NETWORKS[request.param])
    return CompiledNetwork(built, cache).bind(weights_of(built))


def weights_of(built: Network) -> dict[str, Array]:
    """Return random weights, the same every time."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) * np.float32(0.7) for name, shape in built.parameters}


def inputs_of(bound: BoundNetwork, seed: int = 1) -> Array:
    """Return inputs: ids, or normal numbers."""
    rng = np.random.default_rng(seed)
    shape = (STEPS, ROWS, bound.network.in_size)
    numbers = rng.integers(0, 5, shape) if bound.network.embedding else rng.normal(size=shape)
    return numbers.astype(np.float32)


def masks_of(bound: BoundNetwork) -> Masks:
    """Return the masks of an update."""
    return draw_masks(bound.network.layers, 3, 0, 0, STEPS, ROWS)


def nested(bound: BoundNetwork, lengths: Array, masks: Masks) -> Nested:
    """Return the reference; its masks are named by the layers' numbers."""
    by_number = {bound.network.layers[index].number: mask for index, mask in masks.items()}
    return Nested(bound.network.spec.model_dump(), weights_of(bound.network), lengths, by_number)


def test_a_run_is_what_the_specification_says(bound: BoundNetwork) -> None:
    inputs, state = inputs_of(bound), bound.initial_state(ROWS)
    for lengths in (LENGTHS, np.full(ROWS, STEPS, np.int32)):
        expected = nested(bound, lengths, {}).outputs(inputs)
        np.testing.assert_allclose(bound.run(inputs, state, lengths).outputs, expected, atol=3e-6)
    assert bound.run(inputs, state).outputs.tobytes() == bound.run(inputs, state, lengths).outputs.tobytes()


def test_training_without_masks_gives_the_bits_of_serving(cache: KernelCache) -> None:
    for spec in (CAUSAL, BOTH_ENDS, REVERSE):
        built = oracle.make_network(without_dropout(spec))
        bound = CompiledNetwork(built, cache).bind(built.init(1))
        inputs, state = inputs_of(bound), bound.initial_state(ROWS)
        for lengths in (LENGTHS, None):
            served = bound.run(inputs, state, lengths)
            d_outputs = np.ones_like(served.outputs)
            trained = gradients(bound, cache, inputs, state, d_outputs, lengths=lengths)
            assert served.outputs.tobytes() == trained.outputs.tobytes()
            assert served.state.tobytes() == trained.state.tobytes()


def without_dropout(spec: Any) -> Any:
    """Return a specification without its layers of dropout."""
    if isinstance(spec, list):
        return [
            without_dropout(part) for part in spec if not (isinstance(part, dict) and part.get("type") == "dropout")
        ]
    return {key: without_dropout(part) for key, part in spec.items()} if isinstance(spec, dict) else spec


def test_a_row_is_what_it_is_alone(bound: BoundNetwork) -> None:
    inputs, state = inputs_of(bound), bound.initial_state(ROWS)
    whole = bound.run(inputs, state, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = bound.run(np.ascontiguousarray(inputs[:length, row : row + 1]), state[row : row + 1])
        assert alone.outputs.tobytes() == whole.outputs[:length, row].tobytes()
        assert alone.state.tobytes() == whole.state[row].tobytes()


def test_gradients_are_numerical_derivatives(bound: BoundNetwork, cache: KernelCache) -> None:
    inputs, masks = inputs_of(bound), masks_of(bound)
    reference = nested(bound, LENGTHS, masks)
    d_outputs = np.random.default_rng(2).normal(size=(STEPS, ROWS, bound.network.out_size)).astype(np.float32)
    state = bound.initial_state(ROWS)
    found = gradients(bound, cache, inputs, state, d_outputs, lengths=LENGTHS, masks=masks)
    np.testing.assert_allclose(found.outputs, reference.outputs(inputs), atol=5e-6)
    assert found.weights.keys() == dict(bound.network.parameters).keys()
    rng = np.random.default_rng(3)
    for name, gradient in found.weights.items():
        direction = rng.normal(size=gradient.shape)
        expected = numerical(reference, inputs, d_outputs, name, direction)
        assert (gradient * direction).sum() == pytest.approx(expected, rel=2e-5, abs=2e-5), name


def test_gradients_of_inputs(cache: KernelCache) -> None:
    """Of a bidirectional layer both directions add up."""
    built = oracle.make_network(network(2, bidirectional("rnn", 2)))
    bound = CompiledNetwork(built, cache).bind(built.init(1))
    inputs = np.random.default_rng(0).normal(size=(STEPS, ROWS, 2)).astype(np.float32)
    d_outputs = np.ones((STEPS, ROWS, 4), np.float32)
    found = gradients(bound, cache, inputs, bound.initial_state(ROWS), d_outputs, lengths=LENGTHS).inputs
    reference = Nested(built.spec.model_dump(), built.init(1), LENGTHS)
    direction = np.random.default_rng(1).normal(size=inputs.shape)
    above, below = (reference.outputs(inputs + sign * 1e-6 * direction).sum() for sign in (1, -1))
    assert (found * direction).sum() == pytest.approx((above - below) / 2e-6, rel=2e-5)
    assert not found[LENGTHS[1] :, 1].any()


def test_a_causal_network_goes_on_step_by_step(cache: KernelCache) -> None:
    built = oracle.make_network(CAUSAL)
    bound = CompiledNetwork(built, cache).bind(built.init(0))
    inputs, state = inputs_of(bound), bound.initial_state(ROWS)
    whole = bound.run(inputs, state)
    for step, expected in zip(inputs, whole.outputs, strict=True):
        run = bound.run(step[None], state)
        assert run.outputs[0].tobytes() == expected.tobytes()
        state = run.state
    assert state.tobytes() == whole.state.tobytes()


def test_a_causal_network_may_be_cut_anywhere(cache: KernelCache) -> None:
    """Between calls, and within one that is too long for the memory of its kernels."""
    built = oracle.make_network(CAUSAL)
    bound = CompiledNetwork(built, cache).bind(built.init(0))
    inputs = np.random.default_rng(0).normal(size=(300, 11, 3)).astype(np.float32)
    whole = bound.run(inputs, bound.initial_state(11))
    first = bound.run(inputs[:77], bound.initial_state(11))
    second = bound.run(inputs[77:], first.state)
    assert np.concatenate([first.outputs, second.outputs]).tobytes() == whole.outputs.tobytes()
    assert second.state.tobytes() == whole.state.tobytes()
