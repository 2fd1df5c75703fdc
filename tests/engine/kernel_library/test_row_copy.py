"""Numbers that are not finite, numbers next to nothing, and threads that drop them."""

import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cellar.engine import CompiledCell, Forward, build_cell, compile_cells
from cellar.errors import StartupError
from tests.engine.conftest import Compiled

T, B = 12, 100
"""More than one chunk: the last two steps are in the second."""


@pytest.fixture
def leak(compiled: Compiled) -> CompiledCell:
    """Return h = leak * h + x with the output W @ past + x / 4, `past` being h one step before; states past, h."""
    return compiled("leak", 2)


def run(
    leak: CompiledCell, inputs: dict[tuple[int, int], float], *, decay: float = 0.5, weight: float = 1, h: float = 0
) -> Forward:
    """Run T steps of B rows of zeros, but for the inputs given by (step, row)."""
    x = np.zeros((T, B, 2), np.float32)
    for (step, row), value in inputs.items():
        x[step, row, 1] = value
    weights = {
        "leak": np.array(decay, np.float32),
        "W": np.full((2, 2), weight, np.float32),
        "b": np.zeros(2, np.float32),
    }
    state = np.full((B, 4), h, np.float32)
    return leak.forward(leak.pack(weights), [x], state)


def faults(found: Forward) -> dict[int, tuple[int, int]]:
    """Return the first bad step and its kind for every row that has one."""
    bad = np.flatnonzero(found.bad_step >= 0)
    assert not found.bad_kind[found.bad_step < 0].any()
    return {int(row): (int(found.bad_step[row]), int(found.bad_kind[row])) for row in bad}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_found_and_harms_no_neighbour(leak: CompiledCell, value: float) -> None:
    clean = run(leak, {(0, 0): 1.0})
    found = run(leak, {(0, 0): 1.0, (3, 7): value, (5, 7): value, (11, 99): value})
    assert faults(found) == {7: (3, 1), 99: (11, 1)}
    others = np.delete(np.arange(B), [7, 99])
    np.testing.assert_array_equal(found.outputs[:, others], clean.outputs[:, others])
    np.testing.assert_array_equal(found.state[others], clean.state[others])


def test_a_state_that_overflows(leak: CompiledCell) -> None:
    assert faults(run(leak, {(4, 3): 3e38, (5, 3): 3e38}, decay=1)) == {3: (5, 1)}
    assert faults(run(leak, {(10, 3): 3e38, (11, 3): 3e38}, decay=1)) == {3: (11, 1)}


def test_an_output_that_overflows_before_the_state(leak: CompiledCell) -> None:
    # The output reads what h was two steps before; that it overflows is found however the state goes on.
    assert faults(run(leak, {(1, 3): 1e30, (4, 3): np.nan}, weight=1e30)) == {3: (3, 2)}
    assert faults(run(leak, {(9, 3): 1e30}, weight=1e30)) == {3: (11, 2)}


def test_weights_that_are_not_finite(leak: CompiledCell) -> None:
    assert faults(run(leak, {}, decay=np.nan)) == dict.fromkeys(range(B), (0, 1))
    assert faults(run(leak, {}, weight=np.inf)) == dict.fromkeys(range(B), (0, 2))


def test_numbers_below_two_to_the_minus_63_are_zero_where_they_enter(leak: CompiledCell) -> None:
    least = 2.0**-63
    below = float(np.nextafter(np.float32(least), np.float32(0)))
    kept, gone = run(leak, {(0, 0): least}), run(leak, {(0, 0): -below})
    assert kept.outputs[0, 0, 1] == least / 4
    assert gone.outputs[0, 0, 1] == 0
    assert not np.signbit(gone.outputs).any()
    assert run(leak, {}, h=below, weight=2.0**40).outputs[0].any() == np.False_
    assert run(leak, {}, h=least, weight=2.0**40).outputs[0].all() == np.True_
    assert run(leak, {}, h=1, decay=below).state.any() == np.False_
    assert run(leak, {}, h=1, weight=below).outputs.any() == np.False_


def test_an_idle_state_decays_to_zero_and_not_to_subnormal_numbers(leak: CompiledCell) -> None:
    zeros = {"W": np.zeros((2, 2), np.float32), "b": np.zeros(2, np.float32)}
    packed = leak.pack({"leak": np.array(0.5, np.float32), **zeros})
    for sign in (1, -1):
        state = np.full((1, 4), sign, np.float32)
        levels = []
        for _ in range(70):
            state = leak.forward(packed, [np.zeros((1, 1, 2), np.float32)], state).state
            levels.append(float(state[0, 2]))
        assert levels[:63] == [sign * 2.0**-n for n in range(1, 64)]
        assert levels[63:] == [0.0] * 7
        assert not np.signbit(state).any()


def flush_subnormals() -> None:
    """Set this thread to "flush to zero" and "denormals are zero", as code built with -ffast-math does."""
    libm = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint32 * 64)()
    assert libm.fegetenv(environment) == 0
    if platform.machine() == "x86_64":
        environment[7] |= 0x8040  # MXCSR, behind the 28 bytes of the x87 unit
    else:
        environment[0] |= 1 << 24  # FPCR.FZ
    assert libm.fesetenv(environment) == 0


def test_a_thread_that_flushes_subnormals_is_refused(leak: CompiledCell) -> None:
    def attempt() -> None:
        run(leak, {})
        flush_subnormals()
        with pytest.raises(StartupError, match="flushes subnormal numbers"):
            run(leak, {})

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: the setting ends with it
        pool.submit(attempt).result()
    assert faults(run(leak, {})) == {}


@pytest.mark.parametrize("rows", [1, 3])
def test_a_cell_that_does_not_flush_keeps_the_smallest_numbers(compiled: Compiled, rows: int) -> None:
    """In inputs, parameters and states; written where they are computed, and by a copy after the loop."""
    sizes = {"in": 21, "hidden": 21}
    text = "state a: in\nstate b: in\noutput = s * a + x\na = b\nb = x\nparam s: scalar"
    cells = [build_cell(text, sizes, flushes=flushes) for flushes in (True, False)]
    flushing, keeping = compile_cells(cells, compiled.cache)
    small = np.full((1, rows, 21), 3e-42, np.float32)
    state = np.full((rows, 42), 5e-42, np.float32)
    for cell in (flushing, keeping):
        packed = cell.pack({"s": np.array(2.0**-70, np.float32)})
        found = cell.forward(packed, [small], state)
        expected = small[0] if cell is keeping else np.zeros_like(small[0])
        np.testing.assert_array_equal(found.outputs[0], expected)
        np.testing.assert_array_equal(
            found.state, np.hstack([state[:, :21] if cell is keeping else expected, expected])
        )
    large = np.full((rows, 42), 2.0**10, np.float32)
    scaled = keeping.forward(packed, [0 * small], large).outputs
    np.testing.assert_array_equal(scaled, np.float32(2.0**-60))
