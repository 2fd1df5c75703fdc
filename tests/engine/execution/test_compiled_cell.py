"""Compiled cells against the interpreter, and the promises of their calls."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from cellar.engine import Backward, CommandList, CompiledCell, Forward, Invocation
from cellar.engine.passes.memory_plan import GRADIENT_SLOTS, HEAD_INDEX, SlotKind
from cellar.errors import ShapeMismatch
from tests.engine import oracle
from tests.engine.conftest import TEXTS, Compiled
from tests.engine.oracle import Array, Data

LENGTHS = np.array([5, 0, 3, 1, 5, 5, 2, 4, 4], np.int32)
BATCHES = {"one step": (1, 1, None), "one row": (7, 1, None), "ragged": (5, 9, LENGTHS), "wide": (3, 64, None)}
SIZES = [1, 2, 15, 16, 17, 33, 65]


def forward(kernel: CompiledCell, data: Data, *, save: bool = False) -> Forward:
    """Run the kernel on data of the oracle."""
    return kernel.forward(kernel.pack(data.weights), data.inputs, data.state, data.lengths, save=save)


def backward(kernel: CompiledCell, data: Data) -> Backward:
    """Run the kernel forward and back."""
    saved = forward(kernel, data, save=True)
    return kernel.backward(kernel.pack(data.weights), saved, data.d_outputs, data.d_state)


def rows_of(data: Data, rows: slice) -> Data:
    """Return some rows of a batch."""
    return replace(
        data,
        inputs=tuple(x[:, rows] for x in data.inputs),
        state=data.state[rows],
        d_outputs=data.d_outputs[:, rows],
        d_state=data.d_state[rows],
        lengths=None if data.lengths is None else data.lengths[rows],
    )


def steps_of(data: Data, steps: slice, state: Array) -> Data:
    """Return some steps of a batch, begun from a state."""
    return replace(data, inputs=tuple(x[steps] for x in data.inputs), d_outputs=data.d_outputs[steps], state=state)


def equal_bits(ours: Array, theirs: Array) -> None:
    """Assert that two float32 arrays are the same to the last bit, the signs of zeros included."""
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_array_equal(np.ascontiguousarray(ours).view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("batch", BATCHES)
def test_the_interpreter_agrees(compiled: Compiled, name: str, batch: str) -> None:
    kernel, (steps, rows, lengths) = compiled(name, 21), BATCHES[batch]
    data = oracle.draw(kernel.cell, steps, rows, lengths=lengths)
    ours = forward(kernel, data)
    exact, rounded = (oracle.forward(kernel.cell, data, dtype) for dtype in (np.float64, np.float32))
    assert (ours.bad_step == -1).all()
    oracle.assert_close(ours.outputs, exact.outputs, rounded.outputs, "outputs")
    oracle.assert_close(ours.state, exact.state, rounded.state, "state")
    found = backward(kernel, data)
    gradients = {"state": found.d_state, "input 0": found.d_inputs[0], **found.d_params}
    expected = oracle.gradients(oracle.backward(kernel.cell, data, exact))
    in_float32 = oracle.gradients(oracle.backward(kernel.cell, data, rounded, np.float32))
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        oracle.assert_close(gradient, expected[key], in_float32[key], key)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TEXTS)
def test_one_row_or_many_one_step_or_all_give_equal_bits(compiled: Compiled, name: str, size: int) -> None:
    """64 rows of 20 steps are more than a chunk holds, so the whole sequence crosses a border between chunks."""
    kernel = compiled(name, size, inputs=size)
    data = oracle.draw(kernel.cell, 20, 64, seed=size)
    whole = forward(kernel, data)
    taped = forward(kernel, data, save=True)
    equal_bits(taped.outputs, whole.outputs)
    equal_bits(taped.state, whole.state)
    for rows in (slice(0, 1), slice(17, 18), slice(41, 64)):
        alone = forward(kernel, rows_of(data, rows))
        equal_bits(alone.outputs, np.ascontiguousarray(whole.outputs[:, rows]))
        equal_bits(alone.state, whole.state[rows])
    for rows in (slice(63, 64), slice(0, 7)):
        few = rows_of(data, rows)
        state = few.state
        for t in range(20):
            step = forward(kernel, steps_of(few, slice(t, t + 1), state))
            equal_bits(step.outputs[0], np.ascontiguousarray(whole.outputs[t, rows]))
            state = step.state
        equal_bits(state, whole.state[rows])


@pytest.mark.parametrize("name", TEXTS)
def test_gradients_of_a_row_do_not_depend_on_its_neighbours(compiled: Compiled, name: str) -> None:
    kernel = compiled(name, 17)
    data = oracle.draw(kernel.cell, 4, 9)
    whole = backward(kernel, data)
    for row in range(9):
        alone = backward(kernel, rows_of(data, slice(row, row + 1)))
        equal_bits(alone.d_inputs[0], np.ascontiguousarray(whole.d_inputs[0][:, row : row + 1]))
        equal_bits(alone.d_state, whole.d_state[row : row + 1])


@pytest.mark.parametrize("name", TEXTS)
def test_a_row_past_its_length_is_frozen(compiled: Compiled, name: str) -> None:
    kernel = compiled(name, 17)
    data = oracle.draw(kernel.cell, 5, 9, lengths=LENGTHS)
    for x in data.inputs:  # bytes behind the end must not be read
        x[np.arange(5)[:, None] >= LENGTHS] = np.nan
    whole, gradient = forward(kernel, data), backward(kernel, data)
    assert (whole.bad_step == -1).all()
    for row, length in enumerate(LENGTHS):
        alone = replace(rows_of(data, slice(row, row + 1)), lengths=None)
        alone = steps_of(alone, slice(0, length), alone.state)
        equal_bits(forward(kernel, alone).outputs[:, 0], whole.outputs[:length, row])
        equal_bits(forward(kernel, alone).state[0], whole.state[row])
        assert not whole.outputs[length:, row].any()
        assert not gradient.d_inputs[0][length:, row].any()
        equal_bits(backward(kernel, alone).d_state[0], gradient.d_state[row])


def test_lengths_beyond_the_batch_are_its_ends(compiled: Compiled) -> None:
    kernel = compiled("leak")
    data = oracle.draw(kernel.cell, 5, 3, lengths=np.array([-7, 1 << 20, 2], np.int32))
    within = replace(data, lengths=np.array([0, 5, 2], np.int32))
    equal_bits(forward(kernel, data).outputs, forward(kernel, within).outputs)
    for name, gradient in backward(kernel, data).d_params.items():
        equal_bits(gradient, backward(kernel, within).d_params[name])


def test_gradients_of_parameters_go_on_from_the_sums_given(compiled: Compiled) -> None:
    kernel = compiled("functions")
    data = oracle.draw(kernel.cell, 3, 2)
    fresh = backward(kernel, data).d_params
    forth, back = bound_pass(kernel, data, want_params=True)
    back.sums.memory[:] = 0.5
    forth.run()
    back.run()
    for name, total in back.sums.trimmed.items():
        np.testing.assert_allclose(total, fresh[name] + 0.5, rtol=1e-5, atol=1e-5)


def test_weight_gradients_add_the_steps_from_the_last_and_rows_from_the_first(compiled: Compiled) -> None:
    kernel = compiled("leak", 3)
    data = oracle.draw(kernel.cell, 6, 5)
    states = np.stack([forward(kernel, steps_of(data, slice(0, t), data.state)).state[:, :3] for t in range(6)])
    expected = np.zeros((3, 3))
    for t in reversed(range(6)):
        for b in range(5):
            # The product of two float32 is exact in float64, and their sum nearly always: a fused multiply-add.
            outer = np.outer(data.d_outputs[t, b].astype(np.float64), states[t, b])
            expected = (expected + outer).astype(np.float32).astype(np.float64)
    equal_bits(backward(kernel, data).d_params["W"], expected.astype(np.float32))


def lane_sum(terms: Array) -> np.float32:
    """Return a sum as the arithmetic defines it: lane j adds j, j + 16, ..., then 8, 4, 2, 1 lanes are folded."""
    lanes = np.zeros(16, np.float32)
    for block in np.resize(np.append(terms, np.zeros(-terms.size % 16, np.float32)), (-(-terms.size // 16), 16)):
        lanes = lanes + block
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return np.float32(lanes[0])


@pytest.mark.parametrize("size", [1, 16, 33, 100])
def test_a_sum_is_sixteen_lanes_and_a_tree(compiled: Compiled, size: int) -> None:
    """The gradient of the scalar `leak` is such a sum, of the state times its cotangent."""
    kernel = compiled("leak", size)
    data = oracle.draw(kernel.cell, 1, 1, seed=size)
    data.d_outputs[:] = 0
    expected = lane_sum(data.d_state[0, size:] * data.state[0, size:])
    equal_bits(backward(kernel, data).d_params["leak"], np.array(expected))


def test_more_rows_than_a_chunk_holds(compiled: Compiled) -> None:
    kernel = compiled("functions", 3)
    data = oracle.draw(kernel.cell, 3, 1030)
    whole = forward(kernel, data)
    for rows in (slice(0, 3), slice(1020, 1030)):
        equal_bits(forward(kernel, rows_of(data, rows)).outputs, np.ascontiguousarray(whole.outputs[:, rows]))


def test_nothing_to_do(compiled: Compiled) -> None:
    kernel = compiled("functions")
    data = oracle.draw(kernel.cell, 3, 4)
    none = steps_of(data, slice(0, 0), data.state)
    assert forward(kernel, none).outputs.shape == (0, 4, 3)
    equal_bits(forward(kernel, none).state, data.state)
    equal_bits(backward(kernel, none).d_state, data.d_state)
    assert not any(gradient.any() for gradient in backward(kernel, none).d_params.values())
    assert forward(kernel, rows_of(data, slice(0, 0))).outputs.shape == (3, 0, 3)


def test_arguments_are_left_alone_and_need_not_be_contiguous(compiled: Compiled) -> None:
    kernel = compiled("functions")
    data = oracle.draw(kernel.cell, 5, 9, lengths=LENGTHS)
    strided = replace(
        data,
        inputs=(np.asfortranarray(data.inputs[0]),),
        state=np.asfortranarray(data.state),
        d_outputs=np.asfortranarray(data.d_outputs),
        lengths=LENGTHS.astype(np.int64),
    )
    before = [array.copy() for array in (strided.inputs[0], strided.state, strided.d_outputs, strided.d_state)]
    equal_bits(forward(kernel, strided).outputs, forward(kernel, data).outputs)
    for name, gradient in backward(kernel, strided).d_params.items():
        equal_bits(gradient, backward(kernel, data).d_params[name])
    for array, copy in zip((strided.inputs[0], strided.state, strided.d_outputs, strided.d_state), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_threads_share_a_cell(compiled: Compiled) -> None:
    kernel = compiled("functions", 33)
    batches = [oracle.draw(kernel.cell, 30, 8, seed=seed) for seed in range(8)]
    expected = [backward(kernel, data) for data in batches]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(lambda data: backward(kernel, data), batches), expected, strict=True):
            equal_bits(ours.d_inputs[0], theirs.d_inputs[0])
            for name, gradient in ours.d_params.items():
                equal_bits(gradient, theirs.d_params[name])


def test_arrays_of_another_shape(compiled: Compiled) -> None:
    kernel = compiled("functions")
    data = oracle.draw(kernel.cell, 3, 2)
    saved = forward(kernel, data, save=True)
    packed = kernel.pack(data.weights)
    wrong: list[Callable[[], object]] = [
        lambda: kernel.forward(packed, [data.inputs[0][:, :, :2]], data.state),
        lambda: kernel.forward(packed, data.inputs, data.state[:1]),
        lambda: kernel.forward(packed, data.inputs, data.state, np.array([3], np.int32)),
        lambda: kernel.backward(packed, saved, data.d_outputs[:2]),
        lambda: kernel.backward(packed, saved, data.d_outputs, data.d_state[:, 1:]),
    ]
    for call in wrong:
        with pytest.raises(ShapeMismatch):
            call()


@pytest.mark.parametrize("name", TEXTS)
def test_gradients_that_are_not_wanted_change_no_other(compiled: Compiled, name: str) -> None:
    kernel = compiled(name, 21)
    data = oracle.draw(kernel.cell, 5, 4, lengths=np.array([5, 0, 3, 4], np.int32))
    packed = kernel.pack(data.weights)
    saved = kernel.forward(packed, data.inputs, data.state, data.lengths, save=True)
    whole = kernel.backward(packed, saved, data.d_outputs, data.d_state)
    some = kernel.backward(packed, saved, data.d_outputs, data.d_state, want_params=False)
    assert some.d_params == {}
    assert set(whole.d_params) == {param.name for param in kernel.cell.params}
    equal_bits(some.d_state, whole.d_state)
    for ours, theirs in zip(some.d_inputs, whole.d_inputs, strict=True):
        equal_bits(ours, theirs)


def bound_pass(kernel: CompiledCell, data: Data, *, want_params: bool) -> tuple[Invocation, Invocation]:
    """Return a forward pass and its adjoint, bound to arrays."""
    steps, rows = data.inputs[0].shape[:2]
    outputs, after = np.empty((steps, rows, kernel.cell.out_size), np.float32), np.empty_like(data.state)
    packed = kernel.pack(data.weights)
    forth = kernel.bound(packed, data.inputs, data.state, outputs, after, save=True)
    d_inputs, d_before = [np.empty_like(x) for x in data.inputs], np.empty_like(data.state)
    back = kernel.bound_adjoint(
        packed, forth, data.d_outputs, data.d_state, d_inputs, d_before, want_params=want_params
    )
    return forth, back


@pytest.mark.parametrize("slot", ["grad", "sums", "result", "input", "carry_out", "tape", "buffer", "pairs"])
def test_an_address_that_is_missing_is_refused_before_a_kernel_runs(compiled: Compiled, slot: SlotKind) -> None:
    kernel = compiled("lstm", 21)
    data = oracle.draw(kernel.cell, 3, 2)
    for want_params in (True, False):
        _, back = bound_pass(kernel, data, want_params=want_params)
        name = next(index for kind, index in back.kernel.slot_index if kind == slot)
        back.set_slot(slot, name, 0)
        if want_params or slot not in GRADIENT_SLOTS:
            with pytest.raises(ValueError, match=f"no address for: {slot} {name}"):
                back.run()
            with pytest.raises(ValueError, match="no address for"):
                CommandList(compiled.cache).call(back)
        else:
            back.run()


def test_every_address_of_the_head_but_those_where_0_means_something(compiled: Compiled) -> None:
    kernel = compiled("lstm", 21)
    forth, _ = bound_pass(kernel, oracle.draw(kernel.cell, 3, 2), want_params=True)
    for name in ("lengths", "state_pointers", "initial_state"):
        assert forth.descriptor[HEAD_INDEX[name]] == 0
    forth.run()
    for name in ("bad_step", "bad_kind", "subnormal_probe", "product", "product_float32"):
        before, forth.descriptor[HEAD_INDEX[name]] = int(forth.descriptor[HEAD_INDEX[name]]), 0
        with pytest.raises(ValueError, match=f"no address for: {name}$"):
            forth.run()
        forth.descriptor[HEAD_INDEX[name]] = before
