"""A hosted graph beside ONNX Runtime run directly: the same bits, in whatever calls its steps come."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.errors import CompileFailed, InvalidInput, TypeMismatch
from cellar.onnx_graph import runtime
from cellar.onnx_graph.graph_network import GraphNetwork, open_graph
from cellar.onnx_graph.publishing.host import host_graph
from cellar.onnx_graph.spec import GraphOptions
from tests.onnx_graph.graphs import counter, loop, lstm, model, node, session, table, value

Floats = NDArray[np.float32]


def opened(data: bytes, **options: Any) -> GraphNetwork:
    """Return a graph that runs."""
    return open_graph(host_graph(data, GraphOptions.model_validate_json(json.dumps(options))), data)


def initial(network: GraphNetwork, rows: int) -> tuple[bytes, ...]:
    """Return initial states as sessions keep them."""
    return tuple(network.initial_state(1).tobytes() for _ in range(rows))


def random(*shape: int) -> Floats:
    """Return random numbers."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def hosted() -> GraphNetwork:
    """Return a step of an LSTM."""
    return opened(lstm())


def test_steps_are_those_of_the_runtime(hosted: GraphNetwork) -> None:
    inputs, direct = random(7, 1, 3), session(lstm())
    h = c = np.zeros((1, 1, 4), np.float32)
    state = initial(hosted, 1)
    for step in inputs:
        run = hosted.advance(step[None], state, None, None)
        y, h, c = direct.run(None, {"x": step, "h0": h, "c0": c})
        assert run.outputs.tobytes() == y.tobytes()
        assert run.state.tobytes() == h.tobytes() + c.tobytes()
        assert run.bad_step is None
        state = (run.state.tobytes(),)
    assert hosted.run(inputs, initial(hosted, 1)).state.tobytes() == state[0]


def test_rows_share_a_run_with_lengths_and_resets(hosted: GraphNetwork) -> None:
    inputs = random(6, 4, 3)
    lengths = np.array([6, 2, 4, 2], np.int32)
    begun = random(4, 8)
    reset = np.array([False, True, False, True])
    run = hosted.run(inputs, (begun[:1].tobytes(), begun[1:].tobytes()), lengths, reset=reset)
    for row, length in enumerate(lengths):
        before = np.zeros(8, np.float32) if reset[row] else begun[row]
        own = hosted.run(inputs[:length, row : row + 1], (before.tobytes(),))
        np.testing.assert_allclose(run.outputs[:length, row], own.outputs[:, 0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(run.state[row], own.state[0], rtol=1e-6, atol=1e-6)
        assert not run.outputs[length:, row].any()
    assert run.bad_step is None or (run.bad_step == -1).all()


def test_a_single_row_stops_at_its_length(hosted: GraphNetwork) -> None:
    inputs, begun = random(4, 1, 3), random(1, 8)
    for length in (0, 1, 3, 4):
        run = hosted.run(inputs, (begun.tobytes(),), np.array([length], np.int32))
        own = hosted.run(inputs[:length], (begun.tobytes(),))
        assert run.outputs[:length].tobytes() == own.outputs.tobytes()
        assert run.state.tobytes() == own.state.tobytes()
        assert not run.outputs[length:].any()


def test_without_micro_batches_rows_have_the_bits_of_their_own_run() -> None:
    network = opened(lstm(), micro_batches=False)
    inputs, lengths = random(5, 3, 3), np.array([5, 1, 3], np.int32)
    run = network.run(inputs, initial(network, 3), lengths)
    for row, length in enumerate(lengths):
        own = network.run(inputs[:length, row : row + 1], initial(network, 1))
        assert run.outputs[:length, row].tobytes() == own.outputs.tobytes()
        assert run.state[row].tobytes() == own.state.tobytes()


def test_states_of_integers_are_kept_bit_for_bit() -> None:
    network, direct = opened(counter()), session(counter())
    rows, rng = 3, np.random.default_rng(1)
    tensors: dict[str, Any] = {
        "n": rng.integers(-(2**62), 2**62, (2, rows)),
        "m": rng.integers(-(2**31), 2**31, rows).astype(np.int32),
        "b": np.array([[True], [False], [True]]),
        "d": rng.normal(size=(rows, 2)),
    }
    places = {place.name: place for place in network.network.states}
    record = np.concatenate([places[name].words(array, rows) for name, array in tensors.items()], axis=1)
    state: tuple[bytes, ...] = (record.tobytes(),)
    for k in (5, -7, 2**24 - 1):
        inputs = np.full((1, rows, 2), k, np.float32)
        run = network.run(inputs, state)
        y, *after = direct.run(None, {"k": np.full((2, rows), k), **tensors})
        tensors = dict(zip(tensors, after, strict=True))
        assert (run.outputs[0] == y.T).all()
        for name, array in tensors.items():
            assert places[name].state(run.state, rows).tobytes() == array.tobytes(), name
        state = (run.state.tobytes(),)


def test_inputs_of_integers_must_be_integers() -> None:
    sizes = opened(counter()).network
    assert sizes.takes_ids
    sizes.check_inputs(np.array([[[3, -(2**24 - 1)]]], np.float32))
    for wrong in (0.5, 2**24, np.inf, np.nan):
        with pytest.raises(TypeMismatch) as caught:
            sizes.check_inputs(np.array([[[3, wrong]]], np.float32), "/input")
        assert (caught.value.pointer, caught.value.expected) == ("/input", "a whole number from -16777215 to 16777215")


def test_states_that_are_written_must_be_of_their_type() -> None:
    sizes = opened(counter()).network
    good = np.zeros((1, sizes.state_size), np.float32)
    sizes.check_states(good)
    good[0, 0] = 0.5
    with pytest.raises(InvalidInput, match="'n' is int64"):
        sizes.check_states(good)


def test_a_row_that_cannot_be_computed_harms_no_other() -> None:
    network = opened(table())
    run = network.run(np.array([[[1], [3], [0]]], np.float32), initial(network, 3))
    assert run.bad_step is not None
    assert run.bad_kind is not None
    assert run.bad_step.tolist() == [-1, 0, -1]
    assert run.bad_kind.tolist() == [0, 3, 0]
    assert run.outputs[0, [0, 2]].tolist() == [[2, 3], [0, 1]]
    later = network.run(np.array([[[1]], [[9]], [[1]]], np.float32), initial(network, 1))
    assert later.bad_step is not None
    assert later.bad_step.tolist() == [1]


def test_numbers_that_are_not_finite_are_told_apart() -> None:
    made = model(
        [node("Exp", "x", "y"), node("Exp", "u", "e"), node("Add", "e h_in", "h_out")],
        [value("x", ("batch", 1)), value("u", ("batch", 1)), value("h_in", ("batch", 1))],
        [value("y", ("batch", 1)), value("h_out", ("batch", 1))],
    ).SerializeToString()
    network = opened(made)
    inputs = np.array([[[0, 0], [99, 0], [0, 99]], [[99, 99], [0, 0], [0, 0]]], np.float32)
    run = network.run(inputs, initial(network, 3))
    assert run.bad_step is not None
    assert run.bad_kind is not None
    assert run.bad_step.tolist() == [1, 0, 0]
    assert run.bad_kind.tolist() == [1, 2, 1], "a state before an output"


def test_a_run_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    network = opened(loop())
    assert network.run(np.array([[[7]]], np.float32), initial(network, 1)).outputs.tolist() == [[[7]]]
    monkeypatch.setattr(runtime, "RUN_S", 0.2)
    run = network.run(np.array([[[2**24 - 1]]], np.float32), initial(network, 1))
    assert run.bad_kind is not None
    assert run.bad_kind.tolist() == [3]
    assert network.flops > 10**7, "it is never run on the event loop"


def test_inputs_that_rows_share_divide_a_call() -> None:
    made = model(
        [node("Mul", "x factor", "y"), node("Add", "y h_in", "h_out")],
        [value("x", ("batch", 1)), value("factor", ()), value("h_in", ("batch", 1))],
        [value("y", ("batch", 1)), value("h_out", ("batch", 1))],
    ).SerializeToString()
    network = opened(made)
    assert network.graph.micro_batches
    same = network.run(np.array([[[1, 3], [2, 3]]], np.float32), initial(network, 2))
    other = network.run(np.array([[[1, 3], [2, 5]]], np.float32), initial(network, 2))
    assert (same.outputs[0].tolist(), other.outputs[0].tolist()) == ([[3], [6]], [[3], [10]])


def test_several_threads_use_it(hosted: GraphNetwork) -> None:
    inputs = random(20, 1, 3)
    expected = hosted.run(inputs, initial(hosted, 1)).state.tobytes()
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: hosted.run(inputs, initial(hosted, 1)), range(40)))
    assert {run.state.tobytes() for run in runs} == {expected}


def test_a_file_that_cannot_be_loaded_is_said(hosted: GraphNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompileFailed, match="does not load"):
        open_graph(hosted.graph, b"no graph")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(CompileFailed, match="pip install"):
        open_graph(hosted.graph, lstm())


def test_names_of_states_do_not_collide_with_other_members() -> None:
    network = opened(lstm(names=("layer", "cell", "layer_out", "cell_out")))
    assert [(place.layer, place.name, place.cell) for place in network.network.states] == [
        (0, "layer_", "onnx.float32"),
        (1, "cell_", "onnx.float32"),
    ]
