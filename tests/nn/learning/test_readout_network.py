"""A readout that learns, beside a direct solution of its least squares; its bits, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from cellar.demo.series import load
from cellar.engine import Floats, KernelCache
from cellar.errors import InvalidInput, StateNotFinite
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.learning.layout import ReadoutLayout
from cellar.nn.learning.readout_network import ReadoutNetwork, learning_of
from cellar.nn.learning.spec import Learning, RlsSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

GRU: dict[str, Any] = {"type": "recurrent", "cell": "gru", "hidden_size": 5}


def network(*layers: dict[str, Any], in_size: int = 2) -> Network:
    return Network(NetworkSpec.model_validate({"in_size": in_size, "layers": [*layers]}))


def learning(cache: KernelCache, of: Network, **spec: Any) -> tuple[ReadoutNetwork, BoundNetwork]:
    """Return a network that learns, and the same one that does not."""
    compiled = CompiledNetwork(of, cache)
    bound = compiled.bind(of.init(3), inference=True)
    return ReadoutNetwork(bound, compiled, learning_of(of, RlsSpec(**spec)), cache), bound


def features_of(bound: BoundNetwork, inputs: Floats) -> Floats:
    """Return the hidden states (T, n + 1) of a GRU over inputs (T, 1, F), with a 1 for the bias."""
    state, found = bound.initial_state(1), []
    for step in inputs:
        state = bound.run(step[None], state).state
        found.append([*state[0], 1.0])
    return np.array(found)


@pytest.mark.parametrize("forgetting", [1.0, 0.98])
@pytest.mark.parametrize("bias", [True, False])
def test_the_weights_solve_the_least_squares_of_all_targets(cache: KernelCache, forgetting: float, bias: bool) -> None:
    dense = {"type": "dense", "out_size": 2, "bias": bias}
    learns, bound = learning(cache, network(GRU, dense), forgetting=forgetting, ridge=1e-3)
    random = np.random.default_rng(1)
    inputs = random.normal(size=(400, 1, 2)).astype(np.float32)
    targets = random.normal(size=(400, 2)).astype(np.float32)
    state = learns.initial_state(1).tobytes()
    for step, target in zip(inputs, targets, strict=True):
        state = learns.run(step[None], (state,)).state.tobytes()
        state = learns.learn(state, [1], target[None])
    given = features_of(bound, inputs)[:, : 6 if bias else 5]
    weights = forgetting ** np.arange(399, -1, -1)
    left = (given * weights[:, None]).T @ given + 1e-3 * forgetting**400 * np.eye(given.shape[1])
    apart = targets - bound.run(inputs, bound.initial_state(1)).outputs[:, 0]
    solved = np.linalg.solve(left, (given * weights[:, None]).T @ apart).T
    np.testing.assert_allclose(learns.learnt(state).delta, solved, rtol=1e-4, atol=1e-4)
    assert learns.learnt(state).updates == 400


def test_nothing_learnt_gives_the_bits_of_the_network(cache: KernelCache) -> None:
    learns, bound = learning(cache, network(GRU, {"type": "dense", "out_size": 3}))
    inputs = np.random.default_rng(2).normal(size=(50, 4, 2)).astype(np.float32)
    mine = learns.run(inputs, learns.initial_state(4)).outputs
    assert mine.tobytes() == bound.run(inputs, bound.initial_state(4)).outputs.tobytes()


def test_bits_do_not_depend_on_the_batch_or_on_the_length_of_sequences(cache: KernelCache) -> None:
    learns, _ = learning(cache, network(GRU, {"type": "dense", "out_size": 2}), window=4)
    random = np.random.default_rng(3)
    inputs = random.normal(size=(9, 3, 2)).astype(np.float32)
    states = []
    for row in range(3):
        state = learns.run(inputs[:3, row : row + 1], learns.initial_state(1)).state.tobytes()
        states.append(learns.learn(state, [3, 1], random.normal(size=(2, 2)).astype(np.float32)))
    lengths, reset = np.array([6, 2, 5], np.int32), np.array([False, True, False])
    together = learns.run(inputs[3:], tuple(states), lengths, reset=reset)
    for row, before in enumerate(states):
        state, outputs = before, []
        for at in range(3, 3 + int(lengths[row])):
            begins = np.array([bool(reset[row]) and at == 3])
            run = learns.advance(inputs[at : at + 1, row : row + 1], (state,), None, begins)
            state = run.state.tobytes()
            outputs.append(run.outputs[0, 0])
        assert together.outputs[: lengths[row], row].tobytes() == np.array(outputs).tobytes()
        assert together.state[row].tobytes() == state
        assert learns.learnt(state).updates == 2, "a reset keeps what was learnt"


def test_a_network_without_a_recurrent_layer_learns_from_its_inputs(cache: KernelCache) -> None:
    learns, _ = learning(cache, network({"type": "dense", "out_size": 1}), ridge=1e-9)
    inputs = np.array([[[1, 0]], [[0, 1]], [[1, 1]]], np.float32)
    state = learns.run(inputs, learns.initial_state(1)).state.tobytes()
    state = learns.learn(state, [3, 2, 1], np.array([[5], [7], [9]], np.float32))
    np.testing.assert_allclose(learns.run(inputs, (state,)).outputs[:, 0, 0], [5, 7, 9], rtol=1e-4)


@pytest.mark.parametrize("forgetting", [1.0, 0.5])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_million_targets_of_collinear_features_stay_finite(
    cache: KernelCache, forgetting: float, scale: float
) -> None:
    """Two features are equal and one is always 0: P of a naive recursion loses its symmetry, or grows for ever."""
    learns, _ = learning(
        cache, network({"type": "dense", "out_size": 1}, in_size=3), forgetting=forgetting, ridge=1e-6, window=4096
    )
    random = np.random.default_rng(4)
    x = (scale * random.normal(size=4096)).astype(np.float32)
    inputs = np.stack([x, x, np.zeros_like(x)], axis=1)[:, None]
    targets = (2 * x[:, None]).astype(np.float32)
    state = learns.run(inputs, learns.initial_state(1)).state.tobytes()
    for _ in range(245):
        state = learns.learn(state, range(4096, 0, -1), targets)
    learnt = learns.learnt(state)
    assert learnt.updates == 245 * 4096
    answers = learns.run(inputs, (state,)).outputs[:, 0, 0]
    assert np.abs(answers - targets[:, 0]).max() <= max(1e-3 * scale, 1e-9)
    learns.network.check_states(np.frombuffer(state, np.float32)[None], "")


def test_a_target_that_cannot_be_learnt_changes_nothing(cache: KernelCache) -> None:
    learns, _ = learning(cache, network({"type": "dense", "out_size": 1}))
    state = learns.run(np.full((1, 1, 2), 1e-18, np.float32), learns.initial_state(1)).state.tobytes()
    with pytest.raises(StateNotFinite):
        learns.learn(state, [1], np.array([[3e38]], np.float32))


def test_the_error_falls_on_a_series_that_drifts(cache: KernelCache) -> None:
    """The monthly carbon dioxide grows for decades: a readout that follows it beats the weights of its first years."""
    values = load().values.astype(np.float32)
    scaled = (values - values[:120].mean()) / values[:120].std()
    learns, bound = learning(cache, network(GRU, {"type": "dense", "out_size": 1}, in_size=1), forgetting=0.99)
    inputs, targets = scaled[:-1, None, None], scaled[1:, None]
    state, wrong = learns.initial_state(1).tobytes(), []
    for step, target in zip(inputs, targets, strict=True):
        run = learns.run(step[None], (state,))
        wrong.append(float(run.outputs[0, 0, 0] - target[0]) ** 2)
        state = learns.learn(run.state.tobytes(), [1], target[None])
    first = features_of(bound, inputs)
    fixed = np.linalg.lstsq(first[:120], targets[:120], rcond=None)[0]
    of_fixed = ((first @ fixed - targets) ** 2)[-120:].mean()
    assert np.mean(wrong[-120:]) < 0.1 * of_fixed
    losses = learns.learnt(state).losses()
    assert losses is not None
    assert losses[1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    "layers",
    [
        (GRU,),
        (GRU, {"type": "dense", "out_size": 2, "activation": "softmax"}),
        ({"type": "bidirectional", "layer": GRU}, {"type": "dense", "out_size": 2}),
    ],
)
def test_only_a_linear_last_layer_is_solved(layers: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(InvalidInput) as refused:
        learning_of(network(*layers), RlsSpec())
    assert refused.value.pointer == "/learning"


def test_a_state_that_would_be_too_large_is_refused_with_its_size() -> None:
    wide = network({**GRU, "hidden_size": 800}, {"type": "dense", "out_size": 1})
    with pytest.raises(InvalidInput, match="factor") as refused:
        learning_of(wide, RlsSpec())
    assert int(refused.value.actual or 0) > 262_144


def test_written_states_must_be_ones_that_were_read(cache: KernelCache) -> None:
    learns, _ = learning(cache, network(GRU, {"type": "dense", "out_size": 1}), window=3)
    state = learns.initial_state(1)
    learns.network.check_states(state, "")
    for place, value in ((5, 3.0), (6, 4.0), (7, 0.5), (5 + 7 + 6, 0.0), (state.shape[1] - 1, 2.0)):
        wrong = state.copy()
        wrong[0, place] = value
        with pytest.raises(InvalidInput):
            learns.network.check_states(wrong, "")


def test_what_a_session_stores_is_read_again() -> None:
    found = learning_of(network(GRU, {"type": "dense", "out_size": 2}), RlsSpec(window=3))
    assert Learning.read(found.text) == found
    assert Learning.spec_of(found.text) == Learning.spec_of(found.spec.model_dump_json()) == found.spec
    layout = ReadoutLayout(found, 5)
    assert [tuple(each) for each in found.states] == [(state.name, state.size) for state in layout.states()]
    assert sum(size for _, size in found.states) == layout.size


def test_a_forecast_layer_is_not_solved() -> None:
    layers = [{"type": "dense", "out_size": 1}, {"type": "forecast", "targets": [{"name": "y"}]}]
    network = Network(NetworkSpec.model_validate({"in_size": 1, "layers": layers}))
    with pytest.raises(InvalidInput, match="forecast layer has constants"):
        learning_of(network, RlsSpec())
