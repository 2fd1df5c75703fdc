"""Converts the inputs that users give: lists, NumPy arrays and tables of pandas, which is not imported here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Inputs = Any
"""Numbers in lists, an array, or a Series or DataFrame."""


def is_table(inputs: Inputs) -> bool:
    """Return whether the inputs are a DataFrame: an array with an index and columns."""
    return all(hasattr(inputs, member) for member in ("to_numpy", "index", "columns"))


def as_floats(inputs: Inputs) -> Floats:
    """Return inputs as a float32 array in C order. A table has a row for each step."""
    values = inputs.to_numpy() if is_table(inputs) else inputs
    if hasattr(values, "to_numpy"):  # a Series: the features of one step
        values = values.to_numpy()
    array: Floats = np.ascontiguousarray(np.asarray(values, dtype=np.float32))
    return array


def same_kind(inputs: Inputs, outputs: Floats | None) -> Any:
    """Return the outputs of a sequence as a table with the index of the inputs if these are one, else as they are."""
    if outputs is None or not is_table(inputs):
        return outputs
    columns = [f"output_{number}" for number in range(outputs.shape[-1])]
    return type(inputs)(outputs, index=inputs.index, columns=columns)
