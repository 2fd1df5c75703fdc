"""One call of a network: the bits of its kernels one after the other, for every shape, chunking and thread count."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import NetworkProgram, PackedWeights, Run, States
from cellar.engine.execution.arrays import rounded
from cellar.engine.execution.network_frame import new_frame
from cellar.engine.execution.network_plan import INPUT, LARGE_BYTES, MOST_CAPACITY
from cellar.engine.execution.network_program import joined_runs
from cellar.engine.execution.scratch_pool import ARENAS
from cellar.engine.native_calls.call_header import Status
from cellar.engine.passes.memory_plan import HEAD_INDEX
from cellar.errors import ShapeMismatch
from tests.engine import oracle
from tests.engine.conftest import Compiled
from tests.engine.stack import SIZE, Floats, Layer, Stack, kept_bytes, node, program_of, same


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (1, 64), (7, 3), (200, 9), (1, MOST_CAPACITY + 1), (0, 2), (2, 0)])
def test_the_kernels_one_after_the_other(stack: Stack, steps: int, rows: int) -> None:
    inputs, state = stack.draw(steps, rows)
    if steps * rows:
        same(stack.program.run(inputs, state), stack.plain(inputs, state))
    else:
        same(stack.program.run(inputs, state), Run(np.zeros((steps, rows, SIZE), np.float32), state))


def test_ragged_rows(stack: Stack) -> None:
    inputs, state = stack.draw(150, 9)
    lengths = np.array([150, 0, 3, 1, 149, 150, 2, 75, 64], np.int32)
    same(stack.program.run(inputs, state, lengths), stack.plain(inputs, state, lengths))


def test_one_step_after_the_other(stack: Stack) -> None:
    inputs, state = stack.draw(5, 4)
    whole = stack.program.run(inputs, state)
    for step in range(5):
        found = stack.program.run(inputs[step : step + 1], state)
        np.testing.assert_array_equal(found.outputs[0], whole.outputs[step])
        state = found.state
    np.testing.assert_array_equal(state, whole.state)


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_rows_dealt_out_to_threads(stack: Stack, parts: int) -> None:
    inputs, state = stack.draw(20, 37)
    lengths = np.arange(37, dtype=np.int32) % 21
    with ThreadPoolExecutor(parts) as executor:
        same(
            stack.program.run_parts(inputs, state, executor, parts, lengths=lengths),
            stack.plain(inputs, state, lengths),
        )
        same(stack.program.run_parts(inputs, state, executor, parts), stack.plain(inputs, state))


def test_rows_dealt_out_to_threads_with_all_that_a_call_takes(stack: Stack) -> None:
    inputs, state = stack.draw(5, 37)
    lengths = np.arange(37, dtype=np.int32) % 6
    reset = np.arange(37) % 3 == 0
    records = (state[:20].tobytes(), state[20:].tobytes())
    with ThreadPoolExecutor(2) as executor:
        for given in (state, records):
            found = stack.program.run_parts(inputs, given, executor, 3, lengths=lengths)
            same(found, stack.plain(inputs, state, lengths))
            found = stack.program.run_parts(inputs, given, executor, 3, reset=reset)
            same(found, stack.plain(inputs, np.where(reset[:, None], stack.initial, state)))


def test_threads_share_a_program(stack: Stack) -> None:
    inputs, state = stack.draw(40, 33)
    wanted = stack.plain(inputs, state)
    found: list[Run] = []

    def work() -> None:
        found.extend(stack.program.run(inputs, state) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for run in found:
        same(run, wanted)


def test_arguments_need_no_special_layout_and_are_left_alone(stack: Stack) -> None:
    inputs, state = stack.draw(4, 6)
    wanted = stack.plain(inputs, state)
    wide = np.repeat(inputs, 2, axis=2)
    before = wide.copy()
    same(stack.program.run(wide[:, :, ::2], np.asfortranarray(state)), wanted)
    same(stack.program.run(inputs.astype(np.float64), state.astype(">f4")), wanted)
    np.testing.assert_array_equal(wide, before)
    same(stack.program.run(inputs.view(np.recarray), np.ma.asarray(state)), wanted)
    rows = stack.program.run(np.repeat(inputs, 2, axis=1)[:, 3:9], np.repeat(state, 2, axis=0)[3:9])
    same(rows, stack.plain(inputs[:, [1, 2, 2, 3, 3, 4]], state[[1, 2, 2, 3, 3, 4]]))


@pytest.mark.parametrize(
    ("inputs", "state", "named"),
    [
        ((4, 3), (4, 84), "inputs"),
        ((2, 4, 5), (4, 84), "inputs"),
        ((2, 4, 3), (4, 83), "state"),
        ((2, 4, 3), (5, 84), "state"),
    ],
)
def test_arguments_of_another_shape(stack: Stack, inputs: tuple[int, ...], state: tuple[int, ...], named: str) -> None:
    with pytest.raises(ShapeMismatch, match=named):
        stack.program.run(np.zeros(inputs, np.float32), np.zeros(state, np.float32))


def test_parts_of_arguments_of_another_shape(stack: Stack) -> None:
    inputs, state = stack.draw(2, 4)
    with ThreadPoolExecutor(2) as executor:
        for given, lengths, named in (
            (np.repeat(inputs, 2, axis=1), None, "inputs"),
            (inputs[:, :3], None, "inputs"),
            (inputs, np.ones(5, np.int32), "lengths"),
            (inputs[0], None, "inputs"),
        ):
            with pytest.raises(ShapeMismatch, match=named):
                stack.program.run_parts(given, state, executor, 2, lengths=lengths)


def test_no_memory_is_lost_to_calls_out_of_the_ordinary(stack: Stack) -> None:
    """Faults, copies of arguments, errors: the frame of a call goes back to where it came from."""
    inputs, state = stack.draw(2, 80)
    bad = inputs.copy()
    bad[1, 2] = np.nan
    stack.program.run(inputs, state)
    before = kept_bytes(stack.program)
    for _ in range(3):
        assert stack.program.run(bad, state).bad_step is not None
        same(stack.program.run(inputs.astype(np.float64), state), stack.plain(inputs, state))
        with pytest.raises(ShapeMismatch):
            stack.program.run(inputs, state, np.ones(3, np.int32))
        with pytest.raises(ShapeMismatch):
            stack.program.run(inputs, state, None, np.ones(3, np.bool_))
        with pytest.raises(ShapeMismatch):
            stack.program.run(inputs, state[:, 1:])
    assert kept_bytes(stack.program) == before


def test_lengths_of_another_shape(stack: Stack) -> None:
    inputs, state = stack.draw(2, 4)
    with pytest.raises(ShapeMismatch, match="lengths"):
        stack.program.run(inputs, state, np.ones(3, np.int32))


def test_the_first_fault_of_each_row(stack: Stack) -> None:
    inputs, state = stack.draw(3, 4)
    assert stack.program.run(inputs, state).bad_step is None
    inputs[1, 2], inputs[0, 0] = np.nan, np.inf
    state[0, -1] = np.inf
    found = stack.program.run(inputs, state)
    assert found.bad_step is not None
    assert found.bad_kind is not None
    assert found.bad_step[1:].tolist() == [-1, 1, -1]
    assert found.bad_kind[[0, 2]].tolist() == [1, 1]
    assert stack.program.run(*stack.draw(3, 4)).bad_step is None


def test_both_directions_side_by_side(compiled: Compiled) -> None:
    """Two nodes without a place in the state, one of them from each row's end, and a third on both."""
    kernel, upper = compiled("lstm", SIZE), compiled("lstm", SIZE, inputs=2 * SIZE)
    nodes = [
        node(kernel, 1, (INPUT,), None),
        node(kernel, 2, (INPUT,), None, reverse=True),
        node(upper, 3, ((0, 1),), 0),
    ]
    program = program_of(nodes, (2,), 3, 2 * SIZE, compiled.cache)
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(9, 4, 3)).astype(np.float32)
    lengths = np.array([9, 4, 0, 1], np.int32)
    ones = np.ones((4, 2 * SIZE), np.float32)
    forward = kernel.forward(nodes[0].packed, (inputs,), ones, lengths).outputs
    turned = reversed_rows(inputs, lengths)
    back = reversed_rows(kernel.forward(nodes[1].packed, (turned,), ones, lengths).outputs, lengths)
    signal = np.concatenate([forward, back], axis=2)
    state = rng.normal(size=(4, 2 * SIZE)).astype(np.float32)
    wanted = upper.forward(nodes[2].packed, (signal,), state, lengths)
    same(program.run(inputs, state, lengths), Run(wanted.outputs, wanted.state))
    # What a network answers may be the two outputs themselves, at a length that all rows have.
    both = program_of(nodes[:2], (0, 1), 3, 0, compiled.cache)
    whole = kernel.forward(nodes[1].packed, (inputs[::-1].copy(),), ones).outputs[::-1]
    found = both.run(inputs, np.empty((4, 0), np.float32)).outputs
    np.testing.assert_array_equal(found[:, :, SIZE:], whole)


def reversed_rows(array: Floats, lengths: NDArray[np.int32]) -> Floats:
    """Return (T, B, F) with the first steps of each row, as many as its length, in the other order."""
    turned = np.zeros_like(array)
    for row, length in enumerate(lengths):
        turned[:length, row] = array[:length, row][::-1]
    return turned


def test_bfloat16_weights_are_the_rounded_ones_bit_for_bit(compiled: Compiled) -> None:
    kernel = compiled("lstm", SIZE)
    weights = oracle.draw(kernel.cell, 1, 1, seed=4).weights
    bfloat16 = kernel.pack(weights, bfloat16=True)
    near = {name: rounded(array) if array.ndim == 2 else array for name, array in weights.items()}
    whole = kernel.pack(near)
    assert any((near[name] != weights[name]).any() for name in weights)
    assert all(array.ndim < 2 for array in bfloat16.weights.values())
    zeros = np.zeros(2 * SIZE, np.float32)

    def program(packed: PackedWeights) -> NetworkProgram:
        return program_of([Layer(kernel, packed, (INPUT,), 0, zeros)], (0,), 3, 2 * SIZE, compiled.cache)

    rng = np.random.default_rng(6)
    for rows in (1, 2, 7, 64):
        inputs = rng.normal(size=(3, rows, 3)).astype(np.float32)
        state = rng.normal(size=(rows, 2 * SIZE)).astype(np.float32)
        same(program(bfloat16).run(inputs, state), program(whole).run(inputs, state))


def test_memory_is_bounded(stack: Stack) -> None:
    before = kept_bytes(stack.program)
    for rows in range(1, 200):
        stack.program.run(*stack.draw(2, rows))
    frames = 10  # a capacity for each power of two
    assert kept_bytes(stack.program) - before < frames * 1024 * 1024


def test_large_memory_is_no_program_s_own(compiled: Compiled) -> None:
    """A long sequence that must be read in one piece: the next one, of whichever program, finds its memory."""
    kernel = compiled("lstm", SIZE)
    program = program_of([node(kernel, 1, (INPUT,), None, reverse=True)], (0,), 3, 0, compiled.cache)
    inputs, state = np.ones((20_000, 1, 3), np.float32), np.empty((1, 0), np.float32)
    before = kept_bytes(program)
    first = program.run(inputs, state)
    idle = ARENAS.idle_bytes
    assert idle > LARGE_BYTES
    same(program.run(inputs, state), first)
    assert ARENAS.idle_bytes == idle
    assert kept_bytes(program) == before


def test_weights_without_an_address_that_kernels_use_are_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = stack.nodes[1].kernel.kernel
    for missing in range(len(kernel.weight_places)):
        with monkeypatch.context() as patch:
            found = kernel.weight_addresses(stack.nodes[1].packed)
            found[missing] = 0
            patch.setattr(kernel, "weight_addresses", lambda _, found=found: list(found))
            with pytest.raises(ValueError, match="no address for a weight"):
                NetworkProgram(stack.program.code, [each.weights for each in stack.nodes])


def test_a_frame_without_an_address_that_its_kernels_use_is_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word of the weights that no model would fill in."""
    plan = stack.program.code.plan
    for part in plan.nodes:
        kernel = part.kernel.kernel
        places = [place for place in kernel.weight_places if place != HEAD_INDEX["product"]]
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "weight_places", places[1:])
            with pytest.raises(ValueError, match=r"no address for: product, (group|vector) "):
                new_frame(plan, 4)
    new_frame(plan, 4)


class Fleet:
    """Models of one network with weights of their own."""

    def __init__(self, stack: Stack, count: int) -> None:
        self.code = stack.program.code
        self.models = [
            [node(each.kernel, 10 * model + place, each.reads, each.offset) for place, each in enumerate(stack.nodes)]
            for model in range(count)
        ]
        for layers in self.models:
            for place, each in enumerate(layers):
                each.initial[:] = oracle.draw(each.kernel.cell, 1, 1, seed=place + 7).state[0]
        self.programs = [NetworkProgram(self.code, [each.weights for each in layers]) for layers in self.models]

    def together(
        self,
        rows: Sequence[int],
        inputs: Floats,
        state: States,
        lengths: NDArray[np.int32] | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> Run:
        """Run so many rows of each model in one call."""
        models = b"".join(program.rows(count) for program, count in zip(self.programs, rows, strict=True))
        return self.code.run(models, inputs, state, lengths, reset)

    def apart(
        self,
        rows: Sequence[int],
        inputs: Floats,
        state: Floats,
        lengths: NDArray[np.int32] | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> Run:
        """Run the rows of each model in a call of its own."""
        ends = np.cumsum(rows)
        runs = []
        for program, begin, end in zip(self.programs, ends - rows, ends, strict=True):
            mine = (None if array is None else array[begin:end] for array in (lengths, reset))
            # the test's stand-in or text for it
            runs.append(program.run(inputs[:, begin:end], state[begin:end], *mine))  # type: ignore[arg-type]
        return joined_runs(runs)


@pytest.mark.parametrize("steps", [1, 5, 300])
@pytest.mark.parametrize("rows", [(1, 1, 1), (1, 20, 3), (2, 0, 5), (0, 0, 4), (70, 1, 90)])
def test_models_of_one_network_share_a_call_bit_for_bit(stack: Stack, steps: int, rows: tuple[int, ...]) -> None:
    fleet, (inputs, state) = Fleet(stack, 3), stack.draw(steps, sum(rows))
    lengths = np.resize(np.array([steps, 0, 1, steps // 2], np.int32), sum(rows))
    reset = np.arange(sum(rows)) % 3 == 1
    for given in ({}, {"lengths": lengths}, {"reset": reset}, {"lengths": lengths, "reset": reset}):
        wanted = fleet.apart(rows, inputs, state, **given)
        same(fleet.together(rows, inputs, state, **given), wanted)
        same(fleet.together(rows, inputs, tuple(row.tobytes() for row in state), **given), wanted)
    alone = stack.program.run(inputs, state)
    fleet.together(rows, inputs, state)
    same(stack.program.run(inputs, state), alone)


def test_faults_of_models_in_one_call_are_those_of_their_rows(stack: Stack) -> None:
    fleet, (inputs, state) = Fleet(stack, 3), stack.draw(4, 6)
    inputs[2, 1], inputs[1, 5] = np.nan, np.inf
    found = fleet.together((2, 2, 2), inputs, state)
    assert found.bad_step is not None
    assert found.bad_step.tolist() == [-1, 2, -1, -1, -1, 1]
    assert fleet.together((2, 2, 2), *stack.draw(4, 6)).bad_step is None


@pytest.mark.parametrize("models", [b"", b"12345678", None, 5, (1, 2)])
def test_what_names_no_model_is_refused(stack: Stack, models: object) -> None:
    code, (inputs, state) = stack.program.code, stack.draw(1, 2)
    frame = new_frame(code.plan, 64)
    outputs, after = np.empty((1, 2, code.out_size), np.float32), np.empty_like(state)
    status = code._advance(frame.words, models, inputs, state, None, None, outputs, after)
    assert status == Status.BAD_ARGUMENTS


@pytest.mark.parametrize("count", [-5, 0, 2**40])
def test_rows_of_a_model_are_at_most_those_of_the_call(stack: Stack, count: int) -> None:
    fleet, (inputs, state) = Fleet(stack, 2), stack.draw(2, 3)
    models = fleet.programs[0].rows(count) + fleet.programs[1].rows(0)
    mine = fleet.programs[0 if count > 0 else 1]
    same(fleet.code.run(models, inputs, state), mine.run(inputs, state))
