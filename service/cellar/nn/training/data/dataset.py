"""The data of a training run: inputs and targets as arrays, and separate validation data if given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Dataset:
    """The training data of a run, and separate validation data if given, as arrays (T, B, F)."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    """(T', B, out_size), T' at least the scored steps; or (T', B, 1) class indices for cross_entropy."""
    validation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Inputs and targets for validation."""
