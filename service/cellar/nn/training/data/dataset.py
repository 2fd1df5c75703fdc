"""The data of a training run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Dataset:
    """Arrays in (T, B, F): what a run learns from, and what it is measured on besides."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    """(T', B, out_size), T' at least the scored steps; or (T', B, 1) class indices for cross_entropy."""
    validation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Inputs and targets that are not trained on."""
