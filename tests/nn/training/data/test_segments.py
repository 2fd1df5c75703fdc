"""Segments of long windows."""

import numpy as np
import pytest

from cellar.nn.training.data.batches import cut, lengths_in


@pytest.mark.parametrize(
    ("total", "steps", "expected"),
    [
        (7, 3, [(0, 3), (3, 6), (6, 7)]),
        (6, 3, [(0, 3), (3, 6)]),
        (2, 3, [(0, 2)]),
        (5, None, [(0, 5)]),
        (0, 3, [(0, 0)]),
    ],
)
def test_a_window_is_cut_from_its_start(total: int, steps: int | None, expected: list[tuple[int, int]]) -> None:
    assert [(segment.start, segment.stop) for segment in cut(total, steps)] == expected


def test_lengths_are_those_of_the_steps_within() -> None:
    lengths = np.array([0, 3, 4, 7], np.int32)
    # the value is of that kind here
    assert [lengths_in(segment, lengths).tolist() for segment in cut(7, 3)] == [  # type: ignore[union-attr]
        [0, 3, 3, 3],
        [0, 0, 1, 3],
        [0, 0, 0, 1],
    ]
    assert lengths_in(slice(0, 3), None) is None
