"""Arguments that the native code cannot read as they are: copies are read, or they are refused."""

from typing import Any

import numpy as np
import pytest

from cellar.engine.execution.arguments import dense_state, joined_state
from cellar.errors import ShapeMismatch
from tests.engine.stack import Stack, same


class Rows(bytes):
    """Bytes of another type."""


class Records(tuple[bytes, ...]):
    """A tuple of another type."""

    __slots__ = ()


@pytest.mark.parametrize("rows", [3, 80])
def test_records_of_other_types_are_read_too(stack: Stack, rows: int) -> None:
    inputs, state = stack.draw(1, rows)
    wanted = stack.program.run(inputs, state)
    data = [row.tobytes() for row in state]
    given: list[Any] = [
        Records(data),
        [Rows(row) for row in data],
        [bytearray(row) for row in data],
        tuple(memoryview(row) for row in data),
        tuple(state),
        iter(data),
        (b"", *data),
    ]
    for each in given:
        same(stack.program.run(inputs, each), wanted)


def test_lengths_and_masks_of_other_types_are_read_too(stack: Stack) -> None:
    inputs, state = stack.draw(4, 3)
    lengths, reset = np.array([4, 1, 0], np.int32), np.array([True, False, True])
    wanted = stack.program.run(inputs, state, lengths, reset)
    others: list[Any] = [lengths.astype(np.int64), lengths.astype(">i4"), np.repeat(lengths, 2)[::2]]
    for other in others:
        same(stack.program.run(inputs, state, other, reset), wanted)
    masks: list[Any] = [reset.astype(np.uint8), np.repeat(reset, 3)[::3], reset.view(np.recarray)]
    for flags in masks:
        same(stack.program.run(inputs, state, lengths, flags), wanted)
    with pytest.raises(ShapeMismatch, match="reset"):
        stack.program.run(inputs, state, None, reset[:2])
    with pytest.raises(ShapeMismatch, match="lengths"):
        stack.program.run(inputs, state, lengths[:2])


def test_records_are_taken_from_a_list_and_not_copied() -> None:
    records = [bytes(8), bytes(16)]
    found = dense_state(records, 3, 2)
    assert isinstance(found, tuple)
    assert [id(record) for record in found] == [id(record) for record in records]


def test_what_records_should_hold_is_said() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        joined_state([bytes(8), bytes(12)], 2, 3)
    assert (caught.value.expected, caught.value.actual) == ("2 rows of 12 bytes", "20 bytes in 2")
