"""The rows that are reset before a step or left out of it, as flags for each row of each step.

A row that is left out of a step is not changed by it. Its inputs are padding, which is replaced by zeros: the flags say
all that identifies the step.
"""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from cellar.errors import InvalidInput, ShapeMismatch
from cellar.ports import ROW_LEFT_OUT, ROW_RESET, Floats, Mask, Reset, RowChoice, RowFlags

_ALL = RowChoice()


def flags_of(inputs: Floats, reset: Reset, choice: RowChoice | None) -> tuple[Floats, RowFlags | None]:
    """Return inputs (T, rows, in_size) with zeros in place of padding, and the flags of their rows.

    The flags are None if no row has any and no rows are named. With the reset alone they may have another number of
    rows than the inputs, which `check_rows` refuses. Raise InvalidInput with the pointer /reset, /lengths or /rows.
    """
    if choice is None and not is_of_each_step(reset):
        mask = rows_to_reset(reset, inputs.shape[1])
        return inputs, None if mask is None else mask.view(np.uint8)[None]
    choice = choice or _ALL
    steps, rows, _ = inputs.shape
    flags = np.zeros((steps, rows), np.uint8)
    if choice.flags is not None:
        flags |= choice.flags
    _add_reset(flags, reset)
    if (flags == ROW_RESET + ROW_LEFT_OUT).any():
        step, row = np.argwhere(flags == ROW_RESET + ROW_LEFT_OUT)[0]
        raise InvalidInput(
            f"row {row} is reset before step {step} and left out of it: a step changes no row that takes no part in it",
            pointer="/reset",
            expected="resets of rows that take part",
        )
    if choice.lengths is not None:
        flags[_padding(choice.lengths, steps, rows)] = ROW_LEFT_OUT
    if choice.numbers is not None:
        _check_numbers(choice.numbers, rows)
    left_out = flags == ROW_LEFT_OUT
    if left_out.any():
        inputs = np.where(left_out[:, :, None], np.float32(0), inputs)
    found = without_end(flags)
    return inputs, flags[:1] if found is None and choice.numbers is not None else found


def is_of_each_step(reset: Reset) -> TypeGuard[Sequence[Sequence[bool]]]:
    """Return whether there are resets for each step, and not for the first alone."""
    return not isinstance(reset, bool) and len(reset) > 0 and not isinstance(reset[0], bool)


def left_out_where(is_null: Mask, layout: str, pointer: str) -> RowFlags:
    """Return the flags (T, rows) of rows that are null, by their places in a layout. Raise InvalidInput."""
    if layout[-1] != "F":
        raise InvalidInput(
            "null stands for all numbers of a row, which are no array of their own in this layout",
            pointer=pointer,
            expected="a layout that ends in F",
            actual=layout,
        )
    axes = {"TBF": is_null, "BTF": is_null.T, "TF": is_null[:, None], "BF": is_null[None]}[layout]
    return axes * np.uint8(ROW_LEFT_OUT)


def place_rows(
    inputs: Floats, flags: RowFlags, numbers: Sequence[int], batch_size: int
) -> tuple[Floats, RowFlags | None]:
    """Return inputs and flags of all rows of a session from those of the numbered rows. Raise InvalidInput."""
    if max(numbers) >= batch_size:
        index = next(index for index, number in enumerate(numbers) if number >= batch_size)
        raise InvalidInput(
            "the session has no such row",
            pointer=f"/rows/{index}",
            expected=f"0 to {batch_size - 1}",
            actual=str(numbers[index]),
        )
    steps, _, size = inputs.shape
    all_inputs = np.zeros((steps, batch_size, size), np.float32)
    all_inputs[:, numbers] = inputs
    all_flags = np.full((steps, batch_size), ROW_LEFT_OUT, np.uint8)
    all_flags[:, numbers] = 0
    all_flags[: len(flags), numbers] = flags
    return all_inputs, without_end(all_flags)


def without_end(flags: RowFlags) -> RowFlags | None:
    """Return flags without the steps at the end in which no row has any; None if no step is left."""
    steps = np.flatnonzero(flags.any(axis=1))
    return np.ascontiguousarray(flags[: steps[-1] + 1]) if len(steps) else None


def resets_only(flags: RowFlags) -> bool:
    """Return whether rows are reset before the first step, and have no other flags."""
    return len(flags) == 1 and int(flags.max(initial=0)) <= ROW_RESET


def rows_to_reset(asked: Reset, rows: int) -> Mask | None:
    """Return the mask of the rows that a request resets, None if no row is to be reset.

    True and False stand for all rows. A mask of another length is returned as it is, for `check_rows`.
    """
    if asked is False:
        return None
    mask: Mask = np.full(rows, asked) if isinstance(asked, bool) else np.array(asked, np.bool_)
    return mask if mask.any() or len(mask) != rows else None


def _add_reset(flags: RowFlags, reset: Reset) -> None:
    """Add resets to the flags; those of all rows are of the rows that take part."""
    steps, rows = flags.shape
    if isinstance(reset, bool):
        flags[0, flags[0] == 0] = ROW_RESET * reset
        return
    if not is_of_each_step(reset):
        _add_row(flags[0], reset, "/reset")
        return
    if len(reset) != steps:
        raise InvalidInput(
            "the resets do not fit the steps",
            pointer="/reset",
            expected=f"an array for each step: {steps}",
            actual=str(len(reset)),
        )
    for step, asked in enumerate(reset):
        if len(asked) == 1 and rows != 1:
            flags[step, flags[step] == 0] = ROW_RESET * asked[0]
        else:
            _add_row(flags[step], asked, f"/reset/{step}")


def _add_row(flags: RowFlags, reset: Sequence[bool] | Sequence[Sequence[bool]], pointer: str) -> None:
    if len(reset) != len(flags):
        raise InvalidInput(
            "the rows to reset do not fit the inputs",
            pointer=pointer,
            expected=f"as many as the inputs have rows: {len(flags)}",
            actual=str(len(reset)),
        )
    flags[np.array(reset, np.bool_)] |= ROW_RESET


def _padding(lengths: Sequence[int], steps: int, rows: int) -> Mask:
    """Return the mask (steps, rows) of the steps behind the end of each row. Raise InvalidInput."""
    if len(lengths) != rows:
        raise InvalidInput(
            "the lengths do not fit the inputs",
            pointer="/lengths",
            expected=f"one for each row of the inputs: {rows}",
            actual=str(len(lengths)),
        )
    for row, length in enumerate(lengths):
        if not 0 <= length <= steps:
            raise InvalidInput(
                "a row has at most the steps of the sequence",
                pointer=f"/lengths/{row}",
                expected=f"0 to {steps}",
                actual=str(length),
            )
    padding: Mask = np.arange(steps)[:, None] >= np.array(lengths)
    return padding


def _check_numbers(numbers: Sequence[int], rows: int) -> None:
    """Raise InvalidInput unless there is a number for each row of the inputs, each once."""
    if len(numbers) != rows:
        raise ShapeMismatch(
            "the inputs do not have as many rows as are named",
            expected=f"{len(numbers)} rows",
            actual=f"{rows} rows",
        )
    seen: set[int] = set()
    for index, number in enumerate(numbers):
        if number < 0 or number in seen:
            raise InvalidInput(
                "a row is named twice" if number >= 0 else "rows are counted from 0",
                pointer=f"/rows/{index}",
                expected="each row once, by its number from 0",
                actual=str(number),
            )
        seen.add(number)
