"""Networks with kernels: whatever the way a step takes, its bits are the same."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import ShapeMismatch
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from tests.nn import oracle
from tests.nn.execution.gradients import gradients
from tests.nn.golden.cases import NETWORKS, dense, network, recurrent

STACK = network(3, recurrent("lstm", 5, trainable_state=True), dense(4, "relu"), recurrent("gru", 6), dense(2))
Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def stack(cache: KernelCache) -> BoundNetwork:
    """Return a network of several layers whose trained initial state is not zero."""
    built = oracle.make_network(STACK)
    weights = built.init(0)
    weights["0.h0"] += np.float32(0.5)
    return CompiledNetwork(built, cache).bind(weights)


def random(*shape: int, seed: int = 0) -> Array:
    """Return normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_initial_state_is_the_trained_one_or_zero(stack: BoundNetwork) -> None:
    state = stack.initial_state(3)
    assert state.shape == (3, stack.network.state_size)
    parts = {(s.layer, s.name): state[:, s.offset : s.offset + s.size] for s in stack.network.states}
    assert (parts[0, "h"] == 0.5).all()
    assert not parts[0, "c"].any()
    assert not parts[2, "h"].any()


def test_step_by_step_is_the_same_as_a_sequence(stack: BoundNetwork) -> None:
    inputs, state = random(9, 4, 3), stack.initial_state(4)
    whole = stack.run(inputs, state)
    steps = []
    for step in inputs:
        run = stack.run(step[None], state)
        steps.append(run.outputs)
        state = run.state
    assert np.concatenate(steps).tobytes() == whole.outputs.tobytes()
    assert state.tobytes() == whole.state.tobytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_does_not_notice_its_neighbours(name: str, cache: KernelCache) -> None:
    built = oracle.make_network(NETWORKS[name])
    bound = CompiledNetwork(built, cache).bind(built.init(1))
    inputs, state = random(5, 67, built.in_size), random(67, built.state_size, seed=1)
    whole = bound.run(inputs, state)
    for rows in (slice(0, 1), slice(3, 5), slice(60, 67)):
        alone = bound.run(np.ascontiguousarray(inputs[:, rows]), state[rows])
        assert alone.outputs.tobytes() == whole.outputs[:, rows].tobytes()
        assert alone.state.tobytes() == whole.state[rows].tobytes()


def test_a_row_past_its_length_is_frozen(stack: BoundNetwork) -> None:
    inputs, state = random(6, 4, 3), stack.initial_state(4)
    lengths = np.array([6, 0, 1, 4], np.int32)
    ragged = stack.run(inputs, state, lengths)
    for row, length in enumerate(lengths):
        alone = stack.run(np.ascontiguousarray(inputs[:length, row : row + 1]), state[row : row + 1])
        assert ragged.outputs[:length, row].tobytes() == alone.outputs[:, 0].tobytes()
        assert not ragged.outputs[length:, row].any()
        assert ragged.state[row].tobytes() == alone.state[0].tobytes()


def test_ragged_gradients_are_those_of_the_interpreter(stack: BoundNetwork, cache: KernelCache) -> None:
    built = stack.network
    weights = built.init(0)
    weights["0.h0"] += np.float32(0.5)
    inputs, lengths = random(6, 4, 3), np.array([6, 0, 1, 4], np.int32)
    d_outputs = random(6, 4, 2, seed=2)
    found = gradients(stack, cache, inputs, stack.initial_state(4), d_outputs, lengths=lengths)
    reference = oracle.forward(built, weights, inputs, oracle.initial_state(built, weights, 4), lengths)
    d_weights, d_inputs, d_state = oracle.backward(built, weights, reference, d_outputs)
    for name, expected in d_weights.items():
        np.testing.assert_allclose(found.weights[name], expected, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(found.inputs, d_inputs, atol=2e-5)
    np.testing.assert_allclose(found.d_state, d_state, atol=2e-5)
    h = next(s for s in built.states if s.name == "h")
    assert found.weights.keys() == dict(built.parameters).keys()
    np.testing.assert_allclose(found.weights["0.h0"], d_state[:, h.offset : h.offset + h.size].sum(0), atol=2e-5)


def test_arguments_are_never_changed(stack: BoundNetwork, cache: KernelCache) -> None:
    inputs, state, lengths = random(6, 4, 3), stack.initial_state(4), np.array([6, 0, 1, 4], np.int32)
    for array in (inputs, state, lengths):
        array.flags.writeable = False
    before = [array.tobytes() for array in (inputs, state, lengths)]
    run = stack.run(inputs, state, lengths)
    gradients(stack, cache, inputs, state, np.ones_like(run.outputs), lengths=lengths)
    assert [array.tobytes() for array in (inputs, state, lengths)] == before
    assert not np.shares_memory(run.state, state)


def test_views_are_read_as_what_they_show(stack: BoundNetwork) -> None:
    inputs, state = random(4, 6, 3), stack.initial_state(4)
    turned = inputs.transpose(1, 0, 2)
    wide = np.concatenate([state, state], axis=1)[:, : state.shape[1]]
    whole = stack.run(np.ascontiguousarray(turned), state)
    assert stack.run(turned, wide).outputs.tobytes() == whole.outputs.tobytes()


def test_records_and_rows_that_begin_anew(stack: BoundNetwork) -> None:
    """In every kind of run: the one call, and its parts on threads."""
    inputs, state, lengths = random(6, 4, 3), random(4, stack.network.state_size), np.array([6, 0, 1, 4], np.int32)
    reset = np.array([True, True, False, True])
    begun = np.where(reset[:, None], stack.initial_state(4), state)
    wanted = stack.run(inputs, begun, lengths)
    records = (state[:3].tobytes(), state[3:].tobytes())
    with ThreadPoolExecutor(2) as executor:
        for given in (state, records):
            parts = stack.program.run_parts(inputs, given, executor, 3, lengths=lengths, reset=reset)
            for run in (
                stack.run(inputs, given, lengths, reset=reset),
                stack.run(inputs, given, lengths, reset=reset, executor=executor),
                parts,
            ):
                assert run.outputs.tobytes() == wanted.outputs.tobytes()
                assert run.state.tobytes() == wanted.state.tobytes()
    with pytest.raises(ShapeMismatch, match="reset"):
        stack.run(inputs, state, reset=reset[:1])


def test_records_of_a_network_of_ids(cache: KernelCache) -> None:
    table = {"type": "embedding", "count": 5, "out_size": 3}
    built = oracle.make_network(network(1, table, recurrent("lstm", 6)))
    bound = CompiledNetwork(built, cache).bind(built.init(0))
    inputs, state = np.array([[[4], [0]], [[1], [1]]], np.float32), random(2, 12)
    wanted = bound.run(inputs, state)
    for given in (state, (state.tobytes(),), tuple(row.tobytes() for row in state)):
        run = bound.run(inputs, given)
        assert (run.outputs.tobytes(), run.state.tobytes()) == (wanted.outputs.tobytes(), wanted.state.tobytes())
    with pytest.raises(ShapeMismatch):
        bound.run(inputs, (state[:1].tobytes(),))
    with pytest.raises(ShapeMismatch, match="inputs"):
        bound.run(inputs[:, :, [0, 0]], state)


def test_no_steps_and_no_rows(stack: BoundNetwork) -> None:
    state = random(2, stack.network.state_size)
    run = stack.run(random(0, 2, 3), state)
    assert run.outputs.shape == (0, 2, 2)
    assert run.state.tobytes() == state.tobytes()
    assert stack.run(random(3, 0, 3), state[:0]).outputs.shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("inputs", "state", "lengths"),
    [
        ((2, 3, 4), (3, 16), None),
        ((2, 3, 3), (4, 16), None),
        ((2, 3, 3), (3, 15), None),
        ((2, 3, 3), (3, 16), (2,)),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(
    inputs: tuple[int, ...], state: tuple[int, ...], lengths: tuple[int, ...] | None, stack: BoundNetwork
) -> None:
    with pytest.raises(ShapeMismatch):
        stack.run(random(*inputs), random(*state), None if lengths is None else np.ones(lengths, np.int32))


def test_the_first_bad_step_of_each_row_over_all_layers(cache: KernelCache) -> None:
    """The first layer's state overflows by growing; the second divides by what the first answers."""
    growing = recurrent({"equations": "h = h * 1e10 + x"}, 1)
    dividing = recurrent({"equations": "output = 1 / x"}, 1)
    bound = CompiledNetwork(oracle.make_network(network(1, growing, dividing)), cache).bind({})
    inputs = np.zeros((6, 3, 1), np.float32)
    inputs[:, 0] = 1
    inputs[2:, 1] = 1
    inputs[0, 2], inputs[1, 2] = 1, -1e10
    run = bound.run(inputs, bound.initial_state(3))
    assert run.bad_step is not None
    assert run.bad_kind is not None
    assert run.bad_step.tolist() == [4, 0, 1]
    assert run.bad_kind.tolist() == [1, 2, 2]


def test_a_network_without_state(cache: KernelCache) -> None:
    built = oracle.make_network(NETWORKS["dense_only"])
    bound = CompiledNetwork(built, cache).bind(built.init(0))
    run = bound.run(random(3, 2, 3), bound.initial_state(2))
    assert run.outputs.shape == (3, 2, 2)
    assert run.state.shape == (2, 0)


def test_for_inference_nothing_but_packed_matrices_is_kept_and_the_bits_are_the_same(cache: KernelCache) -> None:
    built = oracle.make_network(STACK)
    weights = built.init(1)
    compiled = CompiledNetwork(built, cache)
    whole, bound = compiled.bind(weights), compiled.bind(weights, inference=True)
    inputs, state = random(5, 3, 3), whole.initial_state(3)
    assert bound.run(inputs, state).outputs.tobytes() == whole.run(inputs, state).outputs.tobytes()
    assert all(array.ndim < 2 for part in bound.parts for array in part.packed.weights.values())
    with pytest.raises(ValueError, match="has no gradients"):
        gradients(bound, cache, inputs, state, np.ones((5, 3, built.out_size), np.float32))
