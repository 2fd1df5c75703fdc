"""Built-in cells with other activations: the cell itself where it is the same, else its equations."""

import numpy as np
import pytest

from cellar.cells import BUILT_IN
from cellar.errors import ImportRefused
from cellar.interchange.activations import Activation
from cellar.interchange.recurrent import ROLES, RecurrentForm, cell_for, recurrent_weights
from cellar.nn.model.layers.recurrent import EquationsSpec

HARD = Activation("hard_sigmoid", {"alpha": 0.2, "beta": 0.5})


def equations(form: RecurrentForm) -> str:
    """Return the equations of a layer of this form."""
    cell = form.spec(3).cell
    assert isinstance(cell, EquationsSpec)
    return cell.equations


@pytest.mark.parametrize("cell", ROLES)
def test_the_same_activations_are_the_built_in_cell(cell: str) -> None:
    assert RecurrentForm(cell, {}).spec(3).cell == cell
    assert RecurrentForm(cell, {}, clip=5).spec(3).build(2, "").label == "custom"


def test_an_rnn_has_the_activation_that_its_cell_offers() -> None:
    spec = RecurrentForm("rnn", {"f": Activation("relu")}).spec(3)
    assert (spec.cell, spec.activation) == ("rnn", "relu")
    assert equations(RecurrentForm("rnn", {"f": Activation("softsign")})) == (
        "v_h = Wi @ x + Wh @ h + b\nh = v_h / (1 + abs(v_h))"
    )


def test_other_activations_become_equations_with_the_same_names() -> None:
    assert equations(RecurrentForm("gru", {"f": HARD})) == (
        "v_r = Wi_r @ x + Wh_r @ h + b_r\n"
        "r = min(max(0.2 * v_r + 0.5, 0), 1)\n"
        "v_z = Wi_z @ x + Wh_z @ h + b_z\n"
        "z = min(max(0.2 * v_z + 0.5, 0), 1)\n"
        "n = tanh(Wi_n @ x + r * (Wh_n @ h) + b_n)\n"
        "h = (1 - z) * n + z * h"
    )


def test_a_limit_holds_for_gates_and_candidate_and_not_for_the_memory_cell() -> None:
    lines = equations(RecurrentForm("lstm", {"h": Activation("identity")}, clip=0.5)).splitlines()
    assert lines[0] == "i = sigmoid(min(max(Wi_i @ x + Wh_i @ h + b_i, -0.5), 0.5))"
    assert lines[-2:] == ["v_h = c", "h = o * (v_h)"]


def test_cells_are_found_by_the_words_of_frameworks() -> None:
    assert cell_for("keras", "GRU", reset_after=False) == "gru_v3"
    assert cell_for("onnx", "GRU", linear_before_reset=1) == "gru_torch"
    assert {cell_for("flux", layer) for layer in ("RNN", "LSTM", "GRU", "GRUv3")} == {"rnn", "lstm", "gru", "gru_v3"}


def test_every_cell_whose_layout_a_file_states_can_have_other_activations() -> None:
    others = {"keras", "onnx", "flux"}
    assert {name for name, cell in BUILT_IN.items() if others & cell.layouts.keys()} == ROLES.keys()


def test_equations_that_are_too_long_for_a_cell_are_refused_at_the_array() -> None:
    elu = Activation("elu", {"alpha": 1.0})
    form = RecurrentForm("lstm_peephole", {"f": elu, "g": elu, "h": elu}, clip=1)
    with pytest.raises(ImportRefused) as caught:
        recurrent_weights(form, "onnx", {}, (2, 3), {"W": "node: W"})
    assert caught.value.place == "node: W"
    assert "too many operations" in caught.value.detail


def test_weights_are_those_of_the_framework() -> None:
    rng = np.random.default_rng(0)
    arrays = {"W": rng.normal(size=(6, 2)), "R": rng.normal(size=(6, 2)), "B": np.arange(12.0)}
    floats = {name: array.astype(np.float32) for name, array in arrays.items()}
    form = RecurrentForm("gru_v3", {"f": HARD})
    weights = recurrent_weights(form, "onnx", floats, (2, 2), {"W": "W"})
    np.testing.assert_array_equal(weights["Wi_z"], floats["W"][:2])
    np.testing.assert_array_equal(weights["b_n"], floats["B"][4:6] + floats["B"][10:12])
