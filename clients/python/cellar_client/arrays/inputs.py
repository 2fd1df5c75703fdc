"""Converts the inputs that users give: lists, NumPy arrays and tables of pandas, which is not imported here."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Inputs = Any
"""Numbers in lists, an array, or a Series or DataFrame; or readings by the names of columns, as dictionaries."""

Readings = dict[str, Any] | list[Any]
"""Readings as JSON has them."""


def as_readings(inputs: Inputs) -> Readings | None:
    """Return readings by the names of columns as JSON: a dictionary, or lists of them. None for numbers.

    A NaN is a missing reading, None, and a date or a time is a text of ISO 8601.
    """
    if isinstance(inputs, Mapping):
        return {str(name): _reading(value) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple) and any(as_readings(each) is not None for each in inputs[:64]):
        return [None if each is None else as_readings(each) for each in inputs]
    return None


def _reading(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return None if isinstance(value, float) and value != value else value


def is_table(inputs: Inputs) -> bool:
    """Return whether the inputs are a DataFrame: an array with an index and columns."""
    return hasattr(inputs, "to_numpy") and hasattr(inputs, "index") and hasattr(inputs, "columns")


def as_array(inputs: Inputs) -> NDArray[Any]:
    """Return a sequence of steps as an array, of any type of numbers: one that is mapped to a file is not read."""
    array: NDArray[Any] = inputs.to_numpy() if hasattr(inputs, "to_numpy") else np.asanyarray(inputs)
    return array.reshape(-1, 1) if array.ndim == 1 else array


def as_floats(inputs: Inputs) -> Floats:
    """Return inputs as a float32 array in C order. A table has a row for each step."""
    values = inputs.to_numpy() if hasattr(inputs, "to_numpy") else inputs
    array: Floats = np.asarray(values, dtype=np.float32, order="C")
    return array


def from_lists(values: Sequence[Sequence[Sequence[float] | None]] | None) -> Floats | None:
    """Return numbers (T, B, F) as an array, with NaN for rows that are None because they took no part in a step."""
    if values is None:
        return None
    size = max((len(row) for step in values for row in step if row is not None), default=0)
    absent = [float("nan")] * size
    return np.array([[absent if row is None else row for row in step] for step in values], np.float32)


def same_kind(inputs: Inputs, outputs: Floats | None) -> Any:
    """Return the outputs of a sequence as a table with the index of the inputs if these are one, else as they are."""
    if outputs is None or not is_table(inputs):
        return outputs
    columns = [f"output_{number}" for number in range(outputs.shape[-1])]
    return type(inputs)(outputs, index=inputs.index, columns=columns)


def grouped(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """Yield steps in groups of `size`, the last one smaller: rows of a table, slices, or lists of items."""
    if size < 1:
        raise ValueError("a chunk has at least one step")
    if hasattr(inputs, "__len__"):
        rows = inputs.iloc if hasattr(inputs, "iloc") else inputs
        for first in range(0, len(inputs), size):
            yield rows[first : first + size]
        return
    source = iter(inputs)
    while part := list(islice(source, size)):
        yield part
