"""Parameters of cells as frameworks stack them: one way, the other, and what is refused."""

import numpy as np
import pytest

from cellar.cells import BUILT_IN, NOTHING, Layout, StackedArray
from cellar.errors import ImportRefused
from cellar.interchange.imported import Array
from cellar.interchange.stacking import stack, unstack
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

LAYOUTS = [(cell, framework) for cell, spec in BUILT_IN.items() for framework in spec.layouts]


def drawn(cell: str, seed: int = 0) -> dict[str, Array]:
    """Return weights of a cell with 3 inputs and 5 hidden units, among them a zero of each sign."""
    network = Network(NetworkSpec(in_size=3, layers=(RecurrentSpec(cell=cell, hidden_size=5),)))
    rng = np.random.default_rng(seed)
    weights = {name.removeprefix("0."): rng.normal(size=shape).astype(np.float32) for name, shape in network.parameters}
    for value in weights.values():
        value.flat[:2] = (0.0, -0.0)
    return weights


@pytest.mark.parametrize(("cell", "framework"), LAYOUTS)
def test_out_and_in_again_is_the_identity_bit_for_bit(cell: str, framework: str) -> None:
    layout = BUILT_IN[cell].layouts[framework]
    weights = drawn(cell)
    shapes = {name: value.shape for name, value in weights.items()}
    found = unstack(layout, stack(layout, weights), shapes)
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.tobytes() for name, value in weights.items()
    }


@pytest.mark.parametrize(("cell", "framework"), LAYOUTS)
def test_a_layout_names_every_parameter_of_its_cell(cell: str, framework: str) -> None:
    layout = BUILT_IN[cell].layouts[framework]
    assert {part for array in layout.arrays for part in array.parts} - {NOTHING} == drawn(cell).keys()


def test_columns_are_transposed_and_a_shape_folds_vectors() -> None:
    layout = Layout(
        "GRU",
        (
            StackedArray("kernel", ("Wi_a", "Wi_b"), transposed=True),
            StackedArray("bias", ("b_a", "b_b"), shape=(2, -1)),
        ),
    )
    weights: dict[str, Array] = {
        "Wi_a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "Wi_b": np.ones((2, 3), np.float32),
    }
    weights |= {"b_a": np.array([1, 2], np.float32), "b_b": np.array([3, 4], np.float32)}
    arrays = stack(layout, weights)
    assert arrays["kernel"].tolist() == [[0, 3, 1, 1], [1, 4, 1, 1], [2, 5, 1, 1]]
    assert arrays["bias"].tolist() == [[1, 2], [3, 4]]
    found = unstack(layout, arrays, {name: value.shape for name, value in weights.items()})
    assert all((found[name] == weights[name]).all() for name in weights)


def test_two_biases_of_one_parameter_are_added_and_none_is_zero() -> None:
    layout = BUILT_IN["lstm"].layouts["torch"]
    weights = drawn("lstm")
    shapes = {name: value.shape for name, value in weights.items()}
    arrays = stack(layout, weights)
    arrays["bias_hh"] = np.full(20, 2, np.float32)
    assert (unstack(layout, arrays, shapes)["b_g"] == weights["b_g"] + 2).all()
    del arrays["bias_ih"], arrays["bias_hh"]
    assert not unstack(layout, arrays, shapes)["b_g"].any()


def test_an_array_of_another_shape_is_refused_by_its_name() -> None:
    layout = BUILT_IN["lstm"].layouts["torch"]
    weights = drawn("lstm")
    shapes = {name: value.shape for name, value in weights.items()}
    arrays = stack(layout, weights)
    arrays["weight_ih"] = arrays["weight_ih"].T
    with pytest.raises(ImportRefused) as refused:
        unstack(layout, arrays, shapes, names={"weight_ih": "rnn/weight_ih_l0"})
    assert refused.value.fields() == {
        "place": "rnn/weight_ih_l0",
        "pointer": "/weights/rnn~1weight_ih_l0",
        "expected": "[20, 3]",
        "actual": "[3, 20]",
        "remedy": "transpose it",
    }


def test_a_missing_array_is_refused() -> None:
    layout = BUILT_IN["lstm"].layouts["torch"]
    weights = drawn("lstm")
    arrays = stack(layout, weights)
    del arrays["weight_hh"]
    with pytest.raises(ImportRefused, match="'weight_hh' is missing"):
        unstack(layout, arrays, {name: value.shape for name, value in weights.items()})
