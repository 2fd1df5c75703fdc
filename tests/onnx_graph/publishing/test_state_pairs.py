"""Which outputs are found to be the next values of which inputs."""

from collections.abc import Sequence
from typing import Any

import onnx
import pytest

from cellar.onnx_graph.publishing.shapes import value_of
from cellar.onnx_graph.publishing.state_pairs import find_pairs
from tests.onnx_graph.graphs import Type, lstm, model, node, value


def pairs_of(made: Any) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the pairs of a model, and the inputs that are ambiguous."""
    graph = made.graph
    pairs, ambiguous = find_pairs(graph, [value_of(v) for v in graph.input], [value_of(v) for v in graph.output])
    return [(pair.input, pair.output, pair.found) for pair in pairs], ambiguous


def sums(inputs: Sequence[Any], outputs: Sequence[tuple[Any, str]]) -> Any:
    """Return a graph whose outputs are sums of named inputs."""
    nodes = [node("Sum" if " " in read else "Identity", read, made.name) for made, read in outputs]
    return model(nodes, inputs, [made for made, _ in outputs])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h0", "hn"),
        ("h_0", "h_n"),
        ("state", "stateN"),
        ("hidden_in", "hidden_out"),
        ("prev_hidden", "next_hidden"),
        ("past_memory", "present_memory"),
        ("h", "new_h"),
        ("h.1", "h"),
        ("initial_state", "final_state"),
        ("decoder/h_t-1", "decoder/h_t"),
        ("CellStateIn", "CellStateOut"),
    ],
)
def test_names_tell_pairs(before: str, after: str) -> None:
    size = (1, 4)
    made = sums(
        [value("x", size), value(before, size)],
        [(value("y", size), f"x {before}"), (value(after, size), f"{before} x")],
    )
    assert pairs_of(made) == ([(before, after, "name")], [])


def test_several_states_with_numbers_are_told_apart() -> None:
    names = ["h0", "h1", "h2"]
    made = sums(
        [value("x", (1, 4)), *(value(f"{name}_in", (1, 4)) for name in names)],
        [(value("y", (1, 4)), "x"), *((value(f"{name}_out", (1, 4)), f"{name}_in x") for name in reversed(names))],
    )
    assert pairs_of(made)[0] == [(f"{name}_in", f"{name}_out", "name") for name in names]


def test_a_recurrent_operator_tells_pairs_whatever_their_names() -> None:
    made = onnx.load_from_string(lstm(names=("in.2", "in.1", "out.2", "out.1")))
    for given, name in zip(made.graph.input, ("a", "b", "c"), strict=True):
        rename(made, given.name, name)
    for given, name in zip(made.graph.output, ("r", "q", "p"), strict=True):
        rename(made, given.name, name)
    assert pairs_of(made) == ([("b", "q", "ancestry"), ("c", "p", "ancestry")], [])


def rename(made: Any, old: str, new: str) -> None:
    """Give a value of a graph another name."""
    for each in (*made.graph.input, *made.graph.output):
        each.name = new if each.name == old else each.name
    for each in made.graph.node:
        each.input[:] = [new if name == old else name for name in each.input]
        each.output[:] = [new if name == old else name for name in each.output]


def test_the_only_pair_of_a_shape_is_one() -> None:
    made = sums([value("u", (1, 3)), value("m", (1, 4))], [(value("r", (1, 3)), "u"), (value("q", (1, 4)), "m")])
    assert pairs_of(made) == ([], ["u", "m"]), "both together would leave no input for data"
    alone = sums([value("u", (1, 3)), value("m", (1, 4))], [(value("r", (1, 1)), "u"), (value("q", (1, 4)), "m")])
    assert pairs_of(alone) == ([("m", "q", "shape")], [])


def test_an_output_that_is_not_computed_from_an_input_is_no_next_value() -> None:
    made = sums([value("x", (1, 4)), value("h0", (1, 4))], [(value("y", (1, 4)), "h0"), (value("hn", (1, 4)), "x")])
    assert ("h0", "hn", "name") not in pairs_of(made)[0]


def test_types_and_shapes_must_fit() -> None:
    made = model(
        [node("Cast", "h0", "hn", to=Type.INT64), node("Identity", "x", "y")],
        [value("x", (1, 4)), value("h0", (1, 4))],
        [value("y", (1, 4)), value("hn", (1, 4), Type.INT64)],
    )
    assert all(made_of != "hn" for _, made_of, _ in pairs_of(made)[0])


def test_two_that_may_be_one_are_ambiguous() -> None:
    made = sums(
        [value("x", (1, 3)), value("a", (1, 4)), value("b", (1, 4))],
        [(value("y", (1, 1)), "x"), (value("p", (1, 4)), "a b"), (value("q", (1, 4)), "b a")],
    )
    assert pairs_of(made) == ([], ["a", "b"])


def test_a_graph_of_one_input_has_no_state() -> None:
    assert pairs_of(sums([value("x", (1, 4))], [(value("y", (1, 4)), "x")])) == ([], [])
