"""The built-in cells: data files in the language that users write."""

import tomllib
from importlib.resources import files

import pytest

from cellar.cells import BUILT_IN, FRAMEWORKS, CellSpec
from cellar.engine import Cell, build_cell

SIZES = {"in": 3, "hidden": 5, "proj": 2}


def cell(spec: CellSpec) -> Cell:
    """Return a built-in cell with its default activation."""
    return build_cell(spec.text(), SIZES)


def test_the_list() -> None:
    assert list(BUILT_IN) == [
        *("gru", "gru_torch", "gru_v3", "leaky", "lru", "lstm", "lstm_peephole", "lstm_projected"),
        *("mgu", "mingru", "minlstm", "rnn"),
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "states"),
    [
        ("rnn", 45, ["h"]),
        ("lstm", 180, ["c", "h"]),
        ("gru", 135, ["h"]),
        ("gru_torch", 150, ["h"]),
        ("gru_v3", 135, ["h"]),
    ],
)
def test_parameters_as_flux_counts_them(name: str, parameters: int, states: list[str]) -> None:
    """Without the trainable initial state, which the layer adds."""
    built = cell(BUILT_IN[name])
    assert sum(_product(p.shape) for p in built.params) == parameters
    assert [state.name for state in built.states] == states
    assert built.out_size == 5


def _product(shape: tuple[int, ...]) -> int:
    rows, *columns = shape
    return rows * (columns[0] if columns else 1)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_file_names_its_source_and_initialises_what_exists(name: str) -> None:
    spec = BUILT_IN[name]
    shapes = {p.name: p.shape for p in cell(spec).params}
    assert spec.title
    assert "arXiv:" in spec.source or "doi:" in spec.source
    assert spec.init.keys() <= shapes.keys()
    grouped = [matrix for group in spec.stacked for matrix in group]
    assert len(set(grouped)) == len(grouped)
    assert all(len(shapes[matrix]) == 2 for matrix in grouped)


@pytest.mark.parametrize("name", BUILT_IN)
def test_files_hold_no_key_that_is_not_read(name: str) -> None:
    data = tomllib.loads(files("cellar.cells").joinpath(f"{name}.toml").read_text("utf-8"))
    assert data.keys() <= {"title", "source", "equations", "activations", "stacked", "sizes", "init", *FRAMEWORKS}
    for framework in set(FRAMEWORKS) & data.keys():
        assert data[framework].keys() <= {"layer", "options", "arrays"}
        for array in data[framework]["arrays"].values():
            assert array.keys() <= {"rows", "columns", "optional", "shape"}


def test_activations_of_the_elman_network() -> None:
    rnn = BUILT_IN["rnn"]
    assert rnn.activations == ("tanh", "relu", "sigmoid", "softplus", "identity")
    assert rnn.text() == rnn.text("tanh") == "h = tanh(Wi @ x + Wh @ h + b)\n"
    assert rnn.text("identity") == "h = (Wi @ x + Wh @ h + b)\n"
    assert len({build_cell(rnn.text(activation), SIZES).digest for activation in rnn.activations}) == 5
    with pytest.raises(KeyError):
        rnn.text("exp")
