"""The data of a training run: inputs and targets as arrays, and separate validation data if given."""

from dataclasses import dataclass

from cellar.engine import Floats


@dataclass(frozen=True, slots=True)
class Dataset:
    """The training data of a run, and separate validation data if given, as arrays (T, B, F)."""

    inputs: Floats
    targets: Floats
    """(T', B, out_size), T' at least the scored steps; or (T', B, 1) class indices for cross_entropy."""
    validation: tuple[Floats, Floats] | None = None
    """Inputs and targets for validation."""
