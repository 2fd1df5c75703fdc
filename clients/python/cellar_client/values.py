"""The results that the client returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a step or a sequence."""

    output: Any
    """Output of a step, (F) or (B, F), or outputs of a sequence, (T, F) or (T, B, F), as float32; a DataFrame if the
    inputs were one. None if the request was applied before and its output is no longer kept."""
    step: int
    """Number of steps of the session's epoch after the request; 0 if `position` is empty."""
    position: str
    """Position of the session after the request; empty if it was applied before and is too old to be repeated."""
    replayed: bool = False
    """Whether the request was applied before, and this is its answer repeated."""
    number: int = 0
    """Number of the input since the session or stream was opened, or since its state file was begun; from 1."""


@dataclass(frozen=True, slots=True)
class LayerState:
    """The states of one layer."""

    layer: int
    states: dict[str, NDArray[np.float32]]
    """An array (B, size) for each state, by name."""


Document = dict[str, Any]
"""A JSON document of the service, with the members that the API documents."""
