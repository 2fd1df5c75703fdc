"""Graphs around recurrent operators, as exporters write them, against the reference evaluator."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.onnx import import_onnx
from tests.interchange.onnx.graphs import (
    HIDDEN,
    LSTM,
    READS,
    ROWS,
    STEPS,
    Array,
    Shapes,
    both,
    ints,
    model,
    node,
    random,
)
from tests.interchange.proofs.outcome import difference

X = random(STEPS, ROWS, READS)
RECURRENT = node("LSTM", "X W R B", "Y0 Y0_h Y0_c", hidden_size=HIDDEN)
SQUEEZED = [RECURRENT, node("Squeeze", "Y0 one", "s")]
ONE = LSTM | {"one": ints(1)}
HEAD = {"M": random(HIDDEN, 3), "c": random(3)}
BATCH: Shapes = {"X": ["rows", "steps", READS]}


def agree(made: Any, cache: KernelCache, *, inputs: dict[str, Array] | None = None, last: bool = False) -> None:
    """Check that Cellar answers what the reference evaluator does, whichever axes the output has."""
    expected, found = both(made, inputs or {"X": X}, X, cache)
    outputs = found.outputs[-1] if last else found.outputs
    assert (
        difference(outputs.reshape(-1, found.outputs.shape[-1]), expected[0].reshape(-1, found.outputs.shape[-1]))
        <= 1e-5
    )


def test_squeeze_matmul_and_add_are_a_dense_layer(cache: KernelCache) -> None:
    nodes = [*SQUEEZED, node("MatMul", "s M", "m"), node("Add", "m c", "a"), node("Tanh", "a", "Y")]
    made = model(nodes, ONE | HEAD)
    agree(made, cache)
    layers = import_onnx(made.SerializeToString()).spec.layers
    assert [layer.type for layer in layers] == ["recurrent", "dense"]
    assert layers[1].model_dump()["activation"] == "tanh"


def test_the_last_step_through_gather_and_gemm(cache: KernelCache) -> None:
    nodes = [*SQUEEZED, node("Gather", "s last", "l", axis=0), node("Gemm", "l M c", "Y", alpha=0.5, beta=2.0)]
    agree(model(nodes, ONE | HEAD | {"last": np.array(-1)}), cache, last=True)


def test_the_last_step_through_slice_and_relu(cache: KernelCache) -> None:
    cut = {"from": ints(-1), "to": ints(2**63 - 1), "axis": ints(0)}
    nodes = [*SQUEEZED, node("Slice", "s from to axis", "l"), node("Softplus", "l", "Y")]
    agree(model(nodes, ONE | cut), cache, last=True)


def test_the_final_state_is_the_last_step(cache: KernelCache) -> None:
    nodes = [node("LSTM", "X W R B", "_ h"), node("Squeeze", "h zero", "l"), node("Gemm", "l N", "Y", transB=1)]
    agree(model(nodes, LSTM | {"zero": ints(0), "N": random(2, HIDDEN)}), cache, last=True)


def test_reshape_to_rows_and_back_around_a_gemm(cache: KernelCache) -> None:
    nodes = [
        *SQUEEZED,
        node("Shape", "s", "shape"),
        node("Slice", "shape start two", "lead"),
        node("Reshape", "s flat", "f"),
        node("Gemm", "f M c", "g"),
        node("Concat", "lead three", "back", axis=0),
        node("Reshape", "g back", "Y"),
    ]
    sizes = {"flat": ints(-1, HIDDEN), "three": ints(3), "start": ints(0), "two": ints(2)}
    agree(model(nodes, ONE | HEAD | sizes), cache)


def test_rows_first_and_both_directions(cache: KernelCache) -> None:
    constants = {"W": random(2, 3 * HIDDEN, READS), "R": random(2, 3 * HIDDEN, HIDDEN), "shape": ints(0, 0, -1)}
    nodes = [
        node("Transpose", "X", "t", perm=[1, 0, 2]),
        node("GRU", "t W R", "y", hidden_size=HIDDEN, direction="bidirectional"),
        node("Transpose", "y", "u", perm=[0, 2, 1, 3]),
        node("Reshape", "u shape", "v"),
        node("Transpose", "v", "Y", perm=[1, 0, 2]),
    ]
    expected, found = both(model(nodes, constants, BATCH), {"X": X.swapaxes(0, 1)}, X, cache)
    assert difference(found.outputs.swapaxes(0, 1), expected[0]) <= 1e-5


def test_initial_states_as_exporters_of_pytorch_write_zeros(cache: KernelCache) -> None:
    nodes = [
        node("Shape", "X", "shape"),
        node("Gather", "shape second", "rows", axis=0),
        node("Unsqueeze", "rows zero", "r"),
        node("Concat", "one r hidden", "size", axis=0),
        node("ConstantOfShape", "size", "h"),
        node("Expand", "half size", "c"),
        node("LSTM", "X W R B _ h c", "y", hidden_size=HIDDEN),
        node("Squeeze", "y one", "Y"),
    ]
    sizes = {"second": np.array(1), "zero": ints(0), "hidden": ints(HIDDEN), "half": np.array([0.5], np.float32)}
    made = model(nodes, ONE | sizes)
    agree(made, cache)
    assert import_onnx(made.SerializeToString()).weights["0.c0"].tolist() == [0.5] * HIDDEN


def test_states_as_inputs_and_outputs_are_those_of_sessions(cache: KernelCache) -> None:
    nodes = [
        node("Slice", "h first second zero", "h0"),
        node("Slice", "h second third zero", "h1"),
        node("GRU", "X W R _ _ h0", "y h2"),
        node("Squeeze", "y second", "s"),
        node("GRU", "s V R _ _ h1", "z h3"),
        node("Concat", "h2 h3", "last", axis=0),
        node("Squeeze", "z second", "Y"),
    ]
    constants = {"W": random(1, 9, READS), "V": random(1, 9, 3), "R": random(1, 9, 3)}
    constants |= {name: ints(at) for name, at in (("first", 0), ("second", 1), ("third", 2), ("zero", 0))}
    shapes: Shapes = {"X": ["steps", "rows", READS], "h": [2, "rows", 3]}
    made = model(nodes, constants, shapes, ["Y", "last"])
    expected, found = both(made, {"X": X, "h": np.zeros((2, ROWS, 3), np.float32)}, X, cache)
    assert difference(found.outputs, expected[0]) <= 1e-5
    assert difference(np.stack([found.states[0, "h"], found.states[1, "h"]]), expected[1]) <= 1e-5


def test_a_sum_with_an_earlier_signal_is_a_residual_layer(cache: KernelCache) -> None:
    nodes = [
        node("LayerNormalization", "X g b", "n", epsilon=0.001),
        node("RNN", "n W R", "y"),
        node("Squeeze", "y one", "s"),
        node("Add", "s X", "a"),
        node("Mul", "a half", "m"),
        node("Softmax", "m", "Y"),
    ]
    constants = {"W": random(1, READS, READS), "R": random(1, READS, READS), "g": random(READS), "b": random(READS)}
    agree(model(nodes, constants | {"one": ints(1), "half": np.array(0.5, np.float32)}), cache)


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub", "Div"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_signal_and_a_function_of_it_are_one_function(operator: str, turned: bool, cache: KernelCache) -> None:
    inputs = ("e m", "m e") if turned else ("m e", "e m")
    nodes = [
        *SQUEEZED,
        node("MatMul", "s M", "m"),
        node("Sigmoid", "m", "e"),
        node(operator, inputs[0], "a"),
        node("Softsign", "a", "b"),
        node("Exp", "b", "d"),
        node(operator, "a d" if turned else "d a", "Y"),
    ]
    agree(model(nodes, ONE | HEAD), cache)


def test_ids_through_an_embedding(cache: KernelCache) -> None:
    nodes = [
        node("Gather", "table X", "e"),
        node("Transpose", "e", "t", perm=[1, 0, 2]),
        node("LSTM", "t W R B", "y"),
        node("Squeeze", "y one", "Y"),
    ]
    made = model(nodes, ONE | {"table": random(6, READS)}, {"X": ["rows", "steps"]}, kind=TensorProto.INT64)
    ids = np.array([[1, 5, 0], [2, 2, 3]])
    expected, found = both(made, {"X": ids}, ids.T[:, :, None], cache)
    assert difference(found.outputs, expected[0]) <= 1e-5


def test_two_nodes_joined_are_a_bidirectional_layer(cache: KernelCache) -> None:
    nodes = [
        node("LSTM", "X W R B", "y"),
        node("RNN", "X V S", "z", direction="reverse"),
        node("Squeeze", "y one", "s"),
        node("Squeeze", "z one", "t"),
        node("Concat", "s t", "Y", axis=-1),
    ]
    made = model(nodes, ONE | {"V": random(1, 2, READS), "S": random(1, 2, 2)})
    agree(made, cache)
    assert [layer.type for layer in import_onnx(made.SerializeToString()).spec.layers] == ["bidirectional"]


def test_nodes_that_no_output_needs_are_left_out() -> None:
    made = model([*SQUEEZED, node("Identity", "s", "Y"), node("Einsum", "s", "unused", equation="i")], ONE)
    assert len(import_onnx(made.SerializeToString()).spec.layers) == 1


def changed(**attributes: Any) -> list[Any]:
    """Return nodes of an LSTM with these attributes."""
    return [node("LSTM", "X W R B", "y", **attributes), node("Squeeze", "y one", "Y")]


@pytest.mark.parametrize(
    ("nodes", "constants", "place", "detail"),
    [
        ([*SQUEEZED, node("Einsum", "s", "Y", equation="ijk->ij")], {}, "the Einsum", "cannot be expressed"),
        (changed(input_forget=1), {}, "the LSTM", "no equation"),
        (changed(direction="sideways"), {}, "the LSTM", "unknown direction"),
        (changed(activations=["Sigmoid", "Tanh"]), {}, "the LSTM", "another number of activations"),
        (changed(activations=["Sigmoid", "Tanh", "Gelu"]), {}, "the LSTM", "none of recurrent operators"),
        (changed(activation_alpha=[0.5]), {}, "the LSTM", "more numbers than activations"),
        (changed(activations=["ScaledTanh"] * 3), {}, "the LSTM", "no default"),
        (changed(clip=0.0), {}, "the LSTM", "no bound"),
        (changed(hidden_size=9), {}, "the LSTM", "not that of R"),
        (changed(direction="bidirectional"), {}, "the LSTM", "number of directions"),
        (changed(), {"W": LSTM["W"].swapaxes(1, 2)}, "the LSTM: W", "another shape"),
        (changed(), {"W": np.full_like(LSTM["W"], np.nan)}, "W", "not finite"),
        (changed(), {"W": LSTM["W"].astype(np.int64)}, "W", "no real numbers"),
        ([node("LSTM", "X W R B", "y"), node("Reshape", "y flat", "Y")], {"flat": ints(-1, 2)}, "the Reshape", "mixes"),
        (
            [*SQUEEZED, node("Gather", "s zero", "Y", axis=0)],
            {"zero": np.array(0)},
            "the Gather",
            "a part of the steps",
        ),
        ([*SQUEEZED, node("Add", "s wide", "Y")], {"wide": random(2, HIDDEN)}, "the Add", "not the same for every"),
        ([*SQUEEZED, node("Mul", "s X", "Y")], {}, "the Mul", "other than a signal and a function"),
        ([*SQUEEZED, node("Gelu", "s", "Y")], {}, "the Gelu", "no error function"),
        ([*SQUEEZED, node("MatMul", "M s", "Y")], {"M": random(2, 2)}, "the MatMul", "on the right"),
        ([*SQUEEZED, node("MatMul", "s M", "Y")], {"M": random(2, 2)}, "the MatMul", "last axis"),
        ([*SQUEEZED, node("Softmax", "s", "Y", axis=0)], {}, "the Softmax", "another axis"),
        ([RECURRENT, node("Identity", "Y0_c", "Y")], {}, "Y", "outputs that are no states"),
        (
            [RECURRENT, node("Squeeze", "Y0 two", "Y")],
            {"two": ints(2)},
            "the Squeeze",
            "not known",
        ),
        ([node("Squeeze", "X missing", "Y")], {}, "the Squeeze", "nothing before it"),
        ([node("Identity", "one", "Y")], {}, "Y", "not computed by layers"),
    ],
)
def test_what_cannot_be_expressed_is_refused_at_its_node(
    nodes: list[Any], constants: dict[str, Array], place: str, detail: str
) -> None:
    with pytest.raises(ImportRefused) as caught:
        import_onnx(model(nodes, ONE | constants).SerializeToString())
    assert detail in caught.value.detail
    assert place in caught.value.place


def test_two_inputs_that_layers_read_are_refused() -> None:
    made = model([node("Add", "X Z", "Y")], {}, {"X": [1, 1, 2], "Z": [1, 1, 2]})
    with pytest.raises(ImportRefused, match="besides 'X'"):
        import_onnx(made.SerializeToString())
