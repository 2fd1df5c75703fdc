"""Files that would reach outside of themselves, or that are too large, are refused with the name of the place."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from cellar.errors import ImportRefused
from cellar.interchange.onnx.model_file import parse_model
from cellar.onnx_graph.publishing.safety import check_graph
from tests.onnx_graph.graphs import Type, constant, lstm, model, node, value


def checked(made: Any) -> ImportRefused:
    """Return the error of a model."""
    with pytest.raises(ImportRefused) as caught:
        check_graph(parse_model(made.SerializeToString(), "the file"), "the file")
    return caught.value


def made() -> Any:
    """Return a model that may run."""
    return onnx.load_from_string(lstm())


def external(tensor: Any) -> None:
    """Let the numbers of a tensor be in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = Type.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def in_attribute(model_proto: Any) -> None:
    """Add a constant whose numbers are in another file, within a branch."""
    inner = constant("far", np.ones(3, np.float32))
    external(inner)
    branch = helper.make_graph([node("Constant", "", "k", value=inner)], "branch", [], [value("k", (3,))])
    model_proto.graph.node.add().CopyFrom(node("If", "go", "r", then_branch=branch, else_branch=branch, name="if"))


CHANGES: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "external": (lambda m: external(m.graph.initializer[0]), "W", "another file"),
    "external in a branch": (in_attribute, "Constant 0 -> k.value", "another file"),
    "custom": (lambda m: setattr(m.graph.node[1], "domain", "my.ops"), "lstm", "no operator of ONNX"),
    "of another vendor": (lambda m: setattr(m.graph.node[1], "domain", "com.microsoft"), "lstm", "no operator of ONNX"),
    "random": (lambda m: setattr(m.graph.node[0], "op_type", "RandomNormalLike"), "RandomNormalLike 0 -> xs", "random"),
    "negative": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -1), "W", "negative size"),
    "function": (lambda m: m.functions.add(name="f"), "f", "functions of its own"),
    "training": (lambda m: m.training_info.add(), "training_info", "training"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse_initializer", "sparse"),
    "old": (lambda m: setattr(m.opset_import[0], "version", 3), "opset_import", "version of the operators"),
    "nothing": (lambda m: m.ClearField("graph"), "the file", "no graph"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_is_refused_with_its_place(name: str) -> None:
    change, place, text = CHANGES[name]
    changed = made()
    change(changed)
    error = checked(changed)
    assert error.place == place
    assert text in error.detail


def test_graphs_within_each_other_are_limited() -> None:
    inner = helper.make_graph([node("Identity", "x", "y")], "inner", [], [value("y", (1,))])
    for _ in range(12):
        branch = node("If", "go", "y", then_branch=inner, else_branch=inner)
        inner = helper.make_graph([branch], "inner", [], [value("y", (1,))])
    outer = model(inner.node, [value("go", (), Type.BOOL), value("x", (1,))], [value("y", (1,))])
    with pytest.raises(ImportRefused, match=r"too deeply|levels|too many"):
        check_graph(parse_model(outer.SerializeToString(), "the file"), "the file")


@pytest.mark.parametrize("count", [20_000, 1_000_000])
def test_too_many_nodes_are_refused_soon(count: int) -> None:
    one = model([node("Identity", "x", "y")], [value("x", (1,))], [value("y", (1,))])
    head = one.SerializeToString()
    single = one.graph.node[0].SerializeToString()
    piece = b"\x0a" + bytes([len(single)]) + single  # field 1 of the graph: a node
    extra = piece * count
    size, length = [], len(extra)
    while length:
        size.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
    began = time.monotonic()
    with pytest.raises(ImportRefused, match="too many nodes"):
        check_graph(parse_model(head + b"\x3a" + bytes(size) + extra, "the file"), "the file")
    assert time.monotonic() - began < 20
