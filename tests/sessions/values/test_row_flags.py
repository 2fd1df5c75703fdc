"""Flags of rows: from resets, lengths, numbers and rows that are left out."""

from typing import Any

import numpy as np
import pytest

from cellar.errors import InvalidInput
from cellar.ports import RowChoice
from cellar.sessions.values.row_flags import flags_of, place_rows, resets_only

INPUTS = np.arange(1, 13, dtype=np.float32).reshape(3, 2, 2)


def listed(reset: Any = False, choice: RowChoice | None = None) -> Any:
    """Return the flags as lists."""
    flags = flags_of(INPUTS, reset, choice)[1]
    return None if flags is None else flags.tolist()


@pytest.mark.parametrize(
    ("reset", "choice", "expected"),
    [
        (False, None, None),
        (True, None, [[1, 1]]),
        ([False, True], None, [[0, 1]]),
        ([False, False], None, None),
        ([[False], [True], [False]], None, [[0, 0], [1, 1]]),
        ([[False, True], [False], [True, False]], None, [[0, 1], [0, 0], [1, 0]]),
        (False, RowChoice(lengths=[3, 3]), None),
        (False, RowChoice(lengths=[3, 1]), [[0, 0], [0, 2], [0, 2]]),
        (True, RowChoice(lengths=[0, 3]), [[2, 1], [2, 0], [2, 0]]),
        ([[True], [True], [True]], RowChoice(lengths=[3, 1]), [[1, 1], [1, 2], [1, 2]]),
        (True, RowChoice(flags=np.array([[2, 0], [0, 0], [0, 0]], np.uint8)), [[2, 1]]),
        (False, RowChoice(numbers=[4, 1]), [[0, 0]]),
        (False, RowChoice(lengths=[0, 0]), [[2, 2]] * 3),
    ],
)
def test_flags_say_all_about_the_rows(reset: Any, choice: RowChoice | None, expected: Any) -> None:
    assert listed(reset, choice) == expected


@pytest.mark.parametrize(
    ("reset", "choice", "pointer"),
    [
        ([[True]], None, "/reset"),
        ([[True], [True, False, True], [True]], None, "/reset/1"),
        ([True], RowChoice(lengths=[1, 1]), "/reset"),
        ([True, False], RowChoice(flags=np.array([[2, 0], [0, 0], [0, 0]], np.uint8)), "/reset"),
        (False, RowChoice(lengths=[1]), "/lengths"),
        (False, RowChoice(lengths=[1, 4]), "/lengths/1"),
        (False, RowChoice(numbers=[1, 1]), "/rows/1"),
        (False, RowChoice(numbers=[-1, 1]), "/rows/0"),
        (False, RowChoice(numbers=[1]), ""),
    ],
)
def test_others_are_refused(reset: Any, choice: RowChoice | None, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        listed(reset, choice)
    assert caught.value.pointer == pointer


def test_padding_becomes_zero_and_the_inputs_stay() -> None:
    inputs, _ = flags_of(INPUTS, False, RowChoice(lengths=[3, 1]))
    assert not inputs[1:, 1].any()
    assert INPUTS.all()


def test_rows_are_placed_by_their_numbers() -> None:
    choice = RowChoice(numbers=[3, 1], lengths=[3, 2])
    inputs, flags = flags_of(INPUTS, [True, False], choice)
    assert flags is not None
    everything, all_flags = place_rows(inputs, flags, [3, 1], 4)
    assert (everything[:, 3] == inputs[:, 0]).all()
    assert (everything[:, 1] == inputs[:, 1]).all()
    assert not everything[:, [0, 2]].any()
    assert all_flags is not None
    assert all_flags.tolist() == [[2, 0, 2, 1], [2, 0, 2, 0], [2, 2, 2, 0]]
    with pytest.raises(InvalidInput) as caught:
        place_rows(inputs, flags, [3, 1], 3)
    assert caught.value.pointer == "/rows/0"


def test_all_rows_in_order_are_no_choice() -> None:
    inputs, flags = flags_of(INPUTS, False, RowChoice(numbers=[0, 1]))
    assert flags is not None
    everything, all_flags = place_rows(inputs, flags, [0, 1], 2)
    assert (everything == INPUTS).all()
    assert all_flags is None


@pytest.mark.parametrize(("flags", "only"), [([[1, 0]], True), ([[1, 2]], False), ([[1, 0], [0, 1]], False)])
def test_resets_before_the_first_step_alone(flags: Any, only: bool) -> None:
    assert resets_only(np.array(flags, np.uint8)) == only
