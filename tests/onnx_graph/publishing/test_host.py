"""How graphs are hosted: states, shapes, constants, micro-batches; and which graphs are refused, with the place."""

import json
from typing import Any

import numpy as np
import onnx
import pytest

from cellar.errors import ImportRefused
from cellar.onnx_graph.publishing import trial
from cellar.onnx_graph.publishing.host import host_graph
from cellar.onnx_graph.spec import GraphOptions, HostedGraph
from tests.onnx_graph.graphs import Type, constant, counter, loop, lstm, model, node, table, value


def hosted(data: bytes, **options: Any) -> HostedGraph:
    """Return how a graph is hosted with these options."""
    return host_graph(data, GraphOptions.model_validate_json(json.dumps(options)))


def refusal(made: Any, **options: Any) -> ImportRefused:
    """Return the error of a model, or of its bytes."""
    with pytest.raises(ImportRefused) as caught:
        hosted(made if isinstance(made, bytes) else made.SerializeToString(), **options)
    return caught.value


def test_a_step_of_an_lstm_is_found_by_itself() -> None:
    graph = hosted(lstm())
    assert [(t.name, t.type, t.shape) for t in graph.inputs] == [("x", "float32", ("batch", 3))]
    assert [(t.name, t.shape, t.output, t.found) for t in graph.states] == [
        ("h0", (1, "batch", 4), "hn", "name"),
        ("c0", (1, "batch", 4), "cn", "name"),
    ]
    assert [(t.name, t.shape) for t in graph.outputs] == [("y", ("batch", 2))]
    assert (graph.micro_batches, graph.alone_because, graph.bounded) == (True, None, True)
    assert graph.parameter_count == 16 * 3 + 16 * 4 + 32 + 8 + 1


def test_a_declaration_overrides_the_search() -> None:
    graph = hosted(lstm(), states={"h0": "hn"}, constants={"c0": np.zeros((1, 1, 4)).tolist()}, outputs=["hn", "y"])
    assert [(state.name, state.found) for state in graph.states] == [("h0", "declared")]
    assert [(each.name, each.shape) for each in graph.constants] == [("c0", (1, 1, 4))]
    assert [each.name for each in graph.outputs] == ["hn", "y"]
    assert graph.micro_batches is False, "a constant of one row cannot be that of several"


def test_states_of_integers_and_of_any_rank() -> None:
    graph = hosted(counter())
    assert [(state.name, state.type, state.shape) for state in graph.states] == [
        ("n", "int64", (2, "batch")),
        ("m", "int32", ("batch",)),
        ("b", "bool", ("batch", 1)),
        ("d", "float64", ("batch", 2)),
    ]
    assert [each.name for each in graph.inputs] == ["k"]
    assert [each.name for each in graph.outputs] == ["y"]


def test_the_outputs_are_the_states_where_there_are_no_others() -> None:
    made = model(
        [node("Sum", "x h_in", "h_out")], [value("x", (1, 2)), value("h_in", (1, 2))], [value("h_out", (1, 2))]
    )
    graph = hosted(made.SerializeToString(), states={"h_in": "h_out"})
    assert [each.name for each in graph.outputs] == ["h_out"]
    assert graph.alone_because == "no input has a batch axis"


def test_rows_that_change_each_other_are_run_alone() -> None:
    made = model(
        [node("Softmax", "x", "y", axis=0), node("Add", "x h_in", "h_out")],
        [value("x", ("batch", 2)), value("h_in", ("batch", 2))],
        [value("y", ("batch", 2)), value("h_out", ("batch", 2))],
    )
    graph = hosted(made.SerializeToString())
    assert (graph.micro_batches, graph.alone_because) == (
        False,
        "rows that are run together change each other in the output 'y'",
    )
    assert refusal(made, micro_batches=True).pointer == "/graph/micro_batches"


def test_micro_batches_can_be_turned_off() -> None:
    graph = hosted(table(), micro_batches=False)
    assert (graph.micro_batches, graph.alone_because) == (False, "the request says so")


def test_axes_that_the_graph_does_not_tell_are_asked_for() -> None:
    made = model(
        [node("ReduceMean", "x", "y", keepdims=1), node("Add", "y h_in", "h_out")],
        [value("x", (None, None)), value("h_in", (1, 1))],
        [value("y", (1, 1)), value("h_out", (1, 1))],
    )
    error = refusal(made)
    assert (error.place, error.pointer, error.actual) == ("x", "/graph/shapes/x", "['?', '?']")
    assert hosted(made.SerializeToString(), shapes={"x": [1, 7]}).inputs[0].shape == (1, 7)
    assert refusal(made, shapes={"x": [1, 7, 1]}).pointer == "/graph/shapes/x"
    assert refusal(made, shapes={"x": ["batch", "batch"]}).expected == "one batch axis at most"


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"states": {"nope": "hn"}}, "/graph/states"),
        ({"states": {"h0": "nope"}}, "/graph/states"),
        ({"states": {"h0": "hn", "c0": "hn"}}, "/graph/states"),
        ({"states": {"h0": "y"}}, "/graph/states"),
        ({"shapes": {"y": [1, 2]}}, "/graph/shapes"),
        ({"constants": {"y": 1}}, "/graph/constants"),
        ({"constants": {"x": [[1, 2]]}}, "/graph/constants/x"),
        ({"constants": {"x": "one"}}, "/graph/constants/x"),
        ({"constants": {"h0": [[[1, 2], [3]]]}}, "/graph/constants/h0"),
        ({"states": {"h0": "hn"}, "constants": {"h0": [[[0, 0, 0, 0]]]}}, "/graph/constants"),
        ({"example": {"x": [1]}}, "/graph/example/x"),
        ({"outputs": ["nope"]}, "/graph/outputs"),
        ({"outputs": ["y", "y"]}, "/graph/outputs"),
        ({"outputs": []}, ""),
    ],
)
def test_declarations_that_do_not_fit_are_refused_with_their_place(options: Any, pointer: str) -> None:
    assert refusal(lstm(), **options).pointer == pointer


def test_a_graph_that_fails_is_refused_with_the_node() -> None:
    made = model(
        [node("MatMul", "x W", "y", name="product"), node("Add", "x h_in", "h_out")],
        [value("x", (1, 3)), value("h_in", (1, 3))],
        [value("y", (1, 2)), value("h_out", (1, 3))],
        [constant("W", np.ones((4, 2), np.float32))],
    )
    assert "product" in refusal(made).detail


def test_an_example_is_what_a_graph_is_tried_with() -> None:
    made = model(
        [node("Gather", "T id", "y", axis=0), node("Identity", "s_in", "s_out")],
        [value("id", (1,), Type.INT64), value("s_in", (1, 2))],
        [value("y", (1, None)), value("s_out", (1, 2))],
        [constant("T", np.ones((0, 3), np.float32))],
    )
    assert "does not run" in refusal(made).detail
    assert "does not run" in refusal(made, example={"id": [2]}).detail


def test_a_step_that_takes_too_long_or_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a step takes" in refusal(loop(), example={"count": 2_000_000}).detail
    big = model(
        [node("Expand", "x n", "z"), node("ReduceSum", "z", "y", keepdims=0), node("Identity", "s_in", "s_out")],
        [value("n", (2,), Type.INT64), value("x", (1,)), value("s_in", (2,))],
        [value("y", ()), value("s_out", (2,))],
    )
    assert "emory" in refusal(big, example={"n": [4096, 65536]}).detail
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.0)
    monkeypatch.setattr(trial, "POLL_S", 0.001)  # a process that ends before is not looked at
    assert "it does not end" in refusal(lstm()).detail


def test_loops_and_sizes_that_inputs_tell_are_no_bounded_steps() -> None:
    assert not hosted(loop()).bounded


def test_without_the_runtime_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.onnx_graph.runtime.find_spec", lambda _: None)
    assert refusal(lstm()).remedy == "pip install 'cellar-serve[onnx]'"


def test_a_graph_of_states_alone_has_no_input() -> None:
    made = model([node("Identity", "h_in", "h_out")], [value("h_in", (1, 2))], [value("h_out", (1, 2))])
    assert refusal(made, states={"h_in": "h_out"}).pointer == "/graph"


def test_tensors_of_texts_are_refused() -> None:
    made = model([node("Identity", "x", "y")], [value("x", (1,), Type.STRING)], [value("y", (1,), Type.STRING)])
    assert refusal(made).place == "x"


def test_what_is_stored_is_read_again() -> None:
    graph = hosted(lstm(), constants={"c0": [[[1, 2, 3, 4]]]}, states={"h0": "hn"})
    assert HostedGraph.model_validate_json(graph.model_dump_json()) == graph
    assert len(graph.digest) == 64


def test_how_pairs_were_found_is_no_part_of_the_digest() -> None:
    assert hosted(lstm()).digest == hosted(lstm(), states={"h0": "hn", "c0": "cn"}).digest
    assert onnx.load_from_string(lstm()).graph.node[1].op_type == "LSTM"
