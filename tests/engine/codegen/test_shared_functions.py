"""Parts of a large kernel: what they share, and that they change no bit."""

import numpy as np
import pytest

from cellar.engine import Cell, KernelCache, build_cell, compile_cell
from cellar.engine.codegen import kernel_source
from cellar.engine.codegen.shared_functions import SharedFunctions
from tests.engine.texts import FUNCTIONS

SIZES = {"in": 18, "hidden": 5, "proj": 2, "low": 2}


def norms(count: int) -> str:
    """Return a cell of so many layer norms, one of the other."""
    names = [f"a{number}" for number in range(count)]
    lines = [f"{name} = layernorm({before})" for before, name in zip(["x", *names], names, strict=False)]
    return "\n".join([*lines, f"h = 0.5 * h + {names[-1]}"])


def test_parts_that_differ_in_places_share_a_function() -> None:
    outline = SharedFunctions()
    assert outline.call(["    store(d7 + u * w0, load(d9))"]) == "part_0(d7, u, w0, d9)"
    assert outline.call(["    store(d9 + u * w1, load(d7))"]) == "part_0(d9, u, w1, d7)"
    assert outline.call(["    store(d9 + u * w1, load(d9))"]) == "part_1(d9, u, w1)"
    assert outline.lines[1:3] == ["def part_0(p0, p1, p2, p3):", "    store(p0 + p1 * p2, load(p3))"]


def test_a_step_that_a_part_counts_itself_is_no_place() -> None:
    call = SharedFunctions().call(["    for u in range(steps):", "        clear(d3 + u * w0, w0)"])
    assert call == "part_0(steps, d3, w0)"


def test_faults_of_a_part_are_faults_of_the_kernel() -> None:
    outline = SharedFunctions()
    call = outline.call(["    if bad(d3):", "        faults = True"])
    assert call == "faults = part_0(d3) or faults"
    assert outline.lines[2] == "    faults = False"
    assert outline.lines[-2] == "    return faults"


def results(cell: Cell, cache: KernelCache) -> list[np.ndarray]:
    """Return all that the three kernels of a cell compute on some numbers, with rows of different lengths."""
    draw = np.random.default_rng(5)
    compiled = compile_cell(cell, cache)
    shapes = {param.name: param.shape for param in cell.params}
    packed = compiled.pack({name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})
    inputs = [draw.normal(size=(4, 3, size)).astype(np.float32) for size in cell.in_sizes]
    state = draw.normal(size=(3, cell.state_size)).astype(np.float32)
    lengths = np.array([4, 2, 3], np.int32)
    served = compiled.forward(packed, inputs, state, lengths)
    saved = compiled.forward(packed, inputs, state, lengths, save=True)
    d_outputs = draw.normal(size=saved.outputs.shape).astype(np.float32)
    back = compiled.backward(packed, saved, d_outputs)
    gradients = [*back.d_inputs, back.d_state, *(back.d_params[name] for name in sorted(back.d_params))]
    return [served.outputs, served.state, saved.outputs, saved.state, *gradients]


@pytest.mark.parametrize("text", [FUNCTIONS, norms(4)], ids=["all functions", "layer norms"])
def test_parts_change_no_bit(text: str, cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = build_cell(text, SIZES | ({"hidden": 18} if text is not FUNCTIONS else {}))
    monkeypatch.setattr(kernel_source, "MOST_LOOPS", 0)
    assert "part_0(" in cell.forward_kernel(save=False).text
    apart = results(cell, cache)
    monkeypatch.setattr(kernel_source, "MOST_LOOPS", 10_000)
    assert "part_0(" not in cell.backward_kernel().text
    for one, other in zip(apart, results(cell, cache), strict=True):
        np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32))


def test_the_largest_cell_is_compiled(cache: KernelCache) -> None:
    cell = build_cell(norms(57), {"in": 18})
    assert len(cell.forward_kernel(save=False).text) < 50_000
    outputs = results(cell, cache)[0]
    assert np.isfinite(outputs).all()
    assert np.any(outputs)
