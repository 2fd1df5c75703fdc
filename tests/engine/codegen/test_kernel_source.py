"""Kernel texts: of structure alone, and free of anything that a user wrote."""

import re

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from tests.engine.texts import CELLS, FUNCTIONS, LEAK

SIZES = {"in": 3, "hidden": 5, "proj": 2, "low": 2}


def texts(cell: Cell) -> tuple[str, ...]:
    """Return the texts of a cell's three kernels."""
    return (cell.forward_kernel(save=False).text, cell.forward_kernel(save=True).text, cell.backward_kernel().text)


def renamed(text: str, names: dict[str, str]) -> str:
    """Return a cell's text with whole words replaced."""
    return re.sub(r"\b\w+\b", lambda word: names.get(word.group(), word.group()), text)


def test_renaming_everything_compiles_nothing_new() -> None:
    names = {
        "proj": "low",
        "s": "lambda",
        "c": "__dict__",
        "m": "d0",
        "h": "zero",
        "a": "load",
        "P": "Import",
        "V": "T",
    }
    names |= {"Wa": "exec", "Ua": "B1", "Wb": "Os", "b_c": "b_", "b_m": "b_m_", "b_v": "Sys"}
    other = renamed(FUNCTIONS, names).replace("param load: scalar", "param load: scalar\nparam exec: hidden x in")
    assert texts(build_cell(other, SIZES)) == texts(build_cell(FUNCTIONS, SIZES))


def test_sizes_are_run_time() -> None:
    assert texts(build_cell(FUNCTIONS, SIZES)) == texts(build_cell(FUNCTIONS, {"in": 1, "hidden": 300, "proj": 7}))
    assert texts(build_cell(LEAK, {"in": 1})) == texts(build_cell(LEAK, {"in": 100}))


def test_each_structure_has_its_kernel() -> None:
    """Built-in cells by other names, Flux's own example among them, are the same kernel; no other two are."""
    cells = CELLS | {name: spec.text() for name, spec in BUILT_IN.items()}
    found = {name: build_cell(text, SIZES).forward_kernel(save=False).text for name, text in cells.items()}
    for name, twin in {"flux": "rnn", "peephole": "lstm_peephole", "minimal": "mgu"}.items():
        assert found.pop(name) == found[twin]
    assert len(set(found.values())) == len(found)


def test_no_name_of_the_user_is_in_the_text() -> None:
    text = "Zebra_ = 1 + Quagga * h\nzorse = Zebra_ * x\nh = zorse + h"
    written = "\n".join(texts(build_cell(text, {"in": 4, "hidden": 4})))
    assert not re.search("zebra|quagga|zorse|hidden", written, re.IGNORECASE)


def test_the_same_text_every_time() -> None:
    cell = build_cell(FUNCTIONS, SIZES)
    assert texts(cell) == texts(build_cell(FUNCTIONS, SIZES))


def test_literals_are_written_to_the_last_bit() -> None:
    text = build_cell("h = 0.1 * h - 1e-30", {"in": 1, "hidden": 1}).forward_kernel(save=False).text
    assert "float32(0.10000000149011612)" in text
    assert "float32(1.0000000031710769e-30)" in text
