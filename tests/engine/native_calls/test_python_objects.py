"""What the one native call reads of its arguments: every form of them has the same bits, and none leads it astray."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine.execution.network_frame import new_frame
from cellar.engine.execution.network_plan import INPUT, LEAST_CAPACITY
from cellar.engine.native_calls.call_header import Status
from cellar.errors import ShapeMismatch
from tests.engine.conftest import Compiled
from tests.engine.stack import Floats, Stack, kept_bytes, node, program_of, same

SHAPES = [(1, 1), (1, 9), (7, 3), (300, 7)]
"""One step; small calls; many chunks."""


Native = Callable[..., int]


@pytest.fixture
def native(stack: Stack) -> Native:
    """Return the native call on a frame of small calls: it returns the status, and copies no argument."""
    program, code, frame = stack.program, stack.program.code, new_frame(stack.program.code.plan, LEAST_CAPACITY)

    def call(inputs: Floats, state: object, lengths: object = None, reset: object = None) -> int:
        steps, rows, _ = inputs.shape
        outputs = np.empty((steps, rows, code.out_size), np.float32)
        after = np.empty((rows, code.state_size), np.float32)
        return int(code._advance(frame.words, program.all_rows, inputs, state, lengths, reset, outputs, after))

    return call


def records(state: Floats) -> tuple[bytes, ...]:
    """Return the rows as records of one, two and then all others."""
    return tuple(part.tobytes() for part in np.split(state, [1, 3]) if len(part))


def mask(rows: int) -> NDArray[np.bool_]:
    """Return a mask of every second row, the last among them."""
    found: NDArray[np.bool_] = np.arange(rows, 0, -1) % 2 == 1
    return found


def ragged(steps: int, rows: int) -> NDArray[np.int32]:
    """Return lengths, none and all among them, and some beyond."""
    return np.resize(np.array([steps, 0, 1, steps // 2, steps + 5, -3], np.int32), rows)


@pytest.mark.parametrize(("steps", "rows"), SHAPES)
def test_records_are_the_rows_that_they_hold(stack: Stack, steps: int, rows: int) -> None:
    inputs, state = stack.draw(steps, rows)
    wanted = stack.program.run(inputs, state)
    same(stack.program.run(inputs, records(state)), wanted)
    same(stack.program.run(inputs, list(records(state))), wanted)
    nobody = np.zeros(rows, np.bool_)
    for given in (state, records(state)):
        same(stack.program.run(inputs, given, None, nobody), wanted)


@pytest.mark.parametrize(("steps", "rows"), SHAPES)
@pytest.mark.parametrize("lengths", [None, ragged])
def test_rows_that_are_reset_begin_with_the_initial_state(
    stack: Stack, steps: int, rows: int, lengths: Callable[[int, int], NDArray[np.int32]] | None
) -> None:
    inputs, state = stack.draw(steps, rows)
    reset = mask(rows)
    cut = None if lengths is None else lengths(steps, rows)
    wanted = stack.plain(inputs, np.where(reset[:, None], stack.initial, state), cut)
    state[reset] = np.nan  # it is not read
    for given in (state, records(state)):
        same(stack.program.run(inputs, given, cut, reset), wanted)
        same(stack.program.run(inputs, given, cut, reset.astype(np.int8)), wanted)


def test_a_row_of_no_steps_may_be_reset(stack: Stack) -> None:
    inputs, state = stack.draw(2, 3)
    lengths, reset = np.array([2, 0, 0], np.int32), np.array([False, True, False])
    found = stack.program.run(inputs, state, lengths, reset).state
    np.testing.assert_array_equal(found[1], stack.initial)
    np.testing.assert_array_equal(found[2], state[2])
    found = stack.program.run(inputs[:0], records(state), None, reset).state
    np.testing.assert_array_equal(found, np.where(reset[:, None], stack.initial, state))


def test_arguments_of_every_form_are_read_where_they_are(stack: Stack, native: Native) -> None:
    inputs, state = stack.draw(2, 3)
    cut, reset = ragged(2, 3), mask(3)
    for given in (state, records(state)):
        for arguments in ((), (cut,), (None, reset), (cut, reset)):
            assert native(inputs, given, *arguments) == Status.FINE


def test_more_rows_than_a_frame_has_room_for_are_refused(stack: Stack, native: Native) -> None:
    inputs, state = stack.draw(1, LEAST_CAPACITY + 1)
    assert native(inputs[:, 1:], state[1:]) == Status.FINE
    assert native(inputs, state) == Status.BAD_ARGUMENTS
    assert native(inputs, records(state)) == Status.BAD_ARGUMENTS


def test_another_initial_state_may_be_written(stack: Stack) -> None:
    """As a network does that is given other weights."""
    inputs, state = stack.draw(1, 1)
    before = [place.initial.copy() for place in stack.nodes]
    try:
        for place in stack.nodes:
            place.initial[:] *= 0.5
        found = stack.program.run(inputs, state, None, np.ones(1, np.bool_))
        same(found, stack.plain(inputs, stack.initial[None] * np.float32(0.5)))
    finally:
        for place, initial in zip(stack.nodes, before, strict=True):
            place.initial[:] = initial


def wrong(data: list[bytes]) -> list[tuple[type[Exception], Any]]:
    """Return what is no state of three rows, and what it raises."""
    return [
        (ShapeMismatch, tuple(data[:2])),
        (ShapeMismatch, (*data, data[0])),
        (ShapeMismatch, (*data, b"")[1:]),
        (ShapeMismatch, (data[0][:-1], *data[1:])),
        (ShapeMismatch, (data[0][:-4], data[1] + data[0][-4:], data[2])),
        (ShapeMismatch, (b"".join(data) + b"\0",)),
        (ShapeMismatch, ()),
        (ShapeMismatch, (np.float32(1), *data[:2])),
        (TypeError, (None, *data[1:])),
        (TypeError, ("abc", *data[1:])),
        (TypeError, (7, *data[1:])),
        (TypeError, (sys, *data[1:])),
        (TypeError, None),
        (TypeError, b"".join(data)),
        (TypeError, 1.5),
        (TypeError, object()),
    ]


def test_what_is_no_state_is_refused(stack: Stack, native: Native) -> None:
    inputs, state = stack.draw(1, 3)
    before = kept_bytes(stack.program)
    for kind, given in wrong([row.tobytes() for row in state]):
        assert native(inputs, given) == Status.BAD_ARGUMENTS
        with pytest.raises(kind):
            stack.program.run(inputs, given)
    same(stack.program.run(inputs, state), stack.plain(inputs, state))
    assert kept_bytes(stack.program) - before < 1024 * 1024


@pytest.mark.parametrize("place", [2, 3])
def test_objects_that_are_no_arrays_are_never_read_as_such(stack: Stack, native: Native, place: int) -> None:
    """In the place of lengths and of a mask."""
    inputs, state = stack.draw(2, 3)
    objects: list[Any] = [0, 1.5, "abc", b"abc", (), (1, 2, 3), [1, 2, 3], object(), sys, np.int32(2), np.bool_(1)]
    objects += [np.zeros(2, np.int32), np.zeros(4, np.bool_), np.zeros((3, 1), np.int32), np.zeros(3, "S8")]
    for given in objects:
        arguments: list[Any] = [inputs, state, None, None]
        arguments[place] = given
        assert native(*arguments) == Status.BAD_ARGUMENTS


def test_a_network_without_state_has_empty_records(compiled: Compiled) -> None:
    program = program_of([node(compiled("lstm", 5), 1, (INPUT,), None)], (0,), 3, 0, compiled.cache)
    inputs = np.ones((2, 4, 3), np.float32)
    wanted = program.run(inputs, np.empty((4, 0), np.float32))
    for given in ((b"",) * 4, (b"", b""), ()):
        same(program.run(inputs, given), wanted)
        same(program.run(inputs, given, None, np.array([True, False, True, True])), wanted)
    with pytest.raises(ShapeMismatch):
        program.run(inputs, (b"", b"1234"))


def test_records_live_as_long_as_a_call(stack: Stack) -> None:
    """Others empty the list and change the lengths while a call runs that has let them."""
    inputs, state = stack.draw(300, 60)
    lengths = np.full(60, 300, np.int32)
    wanted = stack.plain(inputs, state, lengths)
    given: list[bytes] = []
    done = threading.Event()

    def disturb() -> None:
        while not done.wait(0.0005):
            given.clear()
            lengths[:] = 2**31 - 1

    other = threading.Thread(target=disturb)
    other.start()
    ran = 0
    try:
        for _ in range(15):
            given[:] = [row.tobytes() for row in state]
            with suppress(ShapeMismatch):  # it was emptied before the call had a look at it
                same(stack.program.run(inputs, given, lengths), wanted)
                ran += 1
    finally:
        done.set()
        other.join()
    assert ran


def test_threads_share_a_program_with_every_form(stack: Stack) -> None:
    """Some find the frame of small calls taken, and take another."""
    inputs, state = stack.draw(4, 16)
    cut, reset = ragged(4, 16), mask(16)
    wanted = stack.program.run(inputs, state, cut, reset), stack.program.run(inputs, state)
    wrongs: list[int] = []

    def work(number: int) -> None:
        given = records(state) if number % 2 else state
        for _ in range(50):
            found = stack.program.run(inputs, given, cut, reset), stack.program.run(inputs, given)
            for run, want in zip(found, wanted, strict=True):
                if run.outputs.tobytes() != want.outputs.tobytes() or run.state.tobytes() != want.state.tobytes():
                    wrongs.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrongs == []


def test_no_reference_is_lost_or_kept(stack: Stack) -> None:
    inputs, state = stack.draw(1, 3)
    given, cut, reset = records(state), ragged(1, 3), mask(3)
    counted: list[object] = [inputs, state, given, *given, cut, reset]

    def run() -> list[int]:
        for _ in range(10):
            stack.program.run(inputs, state, cut, reset)
            stack.program.run(inputs, given, cut, reset)
        return [sys.getrefcount(each) for each in counted]

    assert run() == run()
