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
