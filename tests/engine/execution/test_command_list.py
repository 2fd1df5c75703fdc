"""Recordings: copies by any strides, sums, and flushing. (With kernels: tests/nn/training/update.)"""

from collections.abc import Callable

import numpy as np
import pytest

from cellar.engine import CommandList, KernelCache
from cellar.engine.execution.arrays import Floats


def numbers(*shape: int) -> Floats:
    """Return distinct numbers."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


@pytest.fixture
def recording(cache: KernelCache) -> CommandList:
    """Return an empty recording."""
    return CommandList(cache)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[0],
        lambda a: a[1, :, 3:20],
        lambda a: a.transpose(2, 0, 1),
        lambda a: a[::-1, 1::2, ::-3],
        lambda a: a[0, 0, :1],
        lambda a: a[:0],
    ],
    ids=["whole", "rows", "columns", "turned", "backwards", "one", "none"],
)
def test_copies_follow_strides(view: Callable[[Floats], Floats], recording: CommandList) -> None:
    source, target = numbers(3, 7, 35), np.zeros((3, 7, 35), np.float32)
    expected = target.copy()
    view(expected)[...] = view(source)
    recording.copy(view(source), view(target))
    assert recording.run()
    np.testing.assert_array_equal(target, expected)


def test_a_row_or_a_number_is_spread(recording: CommandList) -> None:
    row, number = numbers(19), numbers(1).reshape(())
    rows, block = np.zeros((4, 19), np.float32), np.zeros(16, np.float32)
    recording.copy(row, rows)
    recording.copy(number, block)
    recording.run()
    np.testing.assert_array_equal(rows, np.tile(row, (4, 1)))
    np.testing.assert_array_equal(block, 1)


def test_steps_run_in_order_on_what_stands_there_now(recording: CommandList) -> None:
    source, wide = numbers(2, 20), np.zeros((2, 23), np.float32)
    recording.copy(source, wide[:, 3:])
    recording.add(source, wide[:, 3:])
    recording.run()
    source *= 2
    recording.run()
    np.testing.assert_array_equal(wide[:, 3:], 2 * source)
    assert not wide[:, :3].any()


def test_small_numbers_become_zero(recording: CommandList) -> None:
    below = np.nextafter(np.float32(2.0**-63), np.float32(0))
    array = np.array([below, -below, -0.0, 2.0**-63, 1e-45, np.inf, np.nan] * 3, np.float32)
    recording.flush(array)
    recording.run()
    expected = np.array([0, 0, 0, 2.0**-63, 0, np.inf, np.nan] * 3, np.float32)
    assert array.tobytes() == expected.tobytes()


def test_what_has_no_meaning_is_refused(recording: CommandList) -> None:
    with pytest.raises(ValueError, match="4 axes"):
        recording.copy(numbers(2, 2), np.zeros((2, 2, 2, 4), np.float32)[..., ::2])
    with pytest.raises(ValueError, match="last axis"):
        recording.add(numbers(4, 4).T, np.zeros((4, 4), np.float32))


def test_rows_are_reversed_up_to_their_lengths(recording: CommandList) -> None:
    source, lengths = numbers(6, 4, 37), np.array([6, 1, 4, 0], np.int32)
    target, back, whole = (np.zeros((6, 4, 37), np.float32) for _ in range(3))
    recording.reverse(source, target, lengths)
    recording.reverse(target, back, lengths)
    recording.reverse(source, whole, None)
    assert recording.run()
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(target[:length, row], source[:length, row][::-1])
        np.testing.assert_array_equal(target[length:, row], source[length:, row])
    np.testing.assert_array_equal(back, source)
    np.testing.assert_array_equal(whole, source[::-1])
    lengths[:] = 2
    recording.run()
    np.testing.assert_array_equal(target[:3], source[[1, 0, 2]])


def test_reversed_columns_lie_anywhere(recording: CommandList) -> None:
    source, target = numbers(5, 3, 40), np.zeros((5, 3, 50), np.float32)
    recording.reverse(source[:, :, 3:21], target[:, :, 30:48], np.full(3, 5, np.int32))
    recording.run()
    np.testing.assert_array_equal(target[:, :, 30:48], source[::-1, :, 3:21])
    assert not target[:, :, :30].any()
    assert not target[:, :, 48:].any()


def test_only_the_first_steps_are_run(recording: CommandList) -> None:
    source, first, second = numbers(20), np.zeros(20, np.float32), np.zeros(20, np.float32)
    recording.copy(source, first)
    assert len(recording) == 1
    recording.copy(source, second)
    recording.run(1)
    np.testing.assert_array_equal(first, source)
    assert not second.any()
    recording.run()
    np.testing.assert_array_equal(second, source)
