"""The data of a training run: inputs and targets as arrays, and separate validation data if given."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from cellar.engine import Floats, Ints


@dataclass(frozen=True, slots=True)
class Dataset:
    """The training data of a run, and separate validation data if given, as arrays (T, B, F)."""

    inputs: Floats
    targets: Floats
    """(T', B, out_size), T' at least the scored steps; or (T', B, 1) class indices for cross_entropy."""
    validation: Optional["Dataset"] = None
    """Data for validation, which have none themselves."""
    lengths: Ints | None = None
    """(B,): the steps of each row, at most T; None for T each. What follows in a row is not read."""
    weights: Floats | None = None
    """(T', B), or (T', B, F) as the targets: how much each target counts in the loss, from 0.

    A target of weight 0 may be any number, or NaN."""

    @property
    def arrays(self) -> Iterator[tuple[str, Floats | Ints]]:
        """Yield the arrays with their names; those of validation begin with `validation_`."""
        for name in ("inputs", "targets", "lengths", "weights"):
            array = getattr(self, name)
            if array is not None:
                yield name, array
        if self.validation is not None:
            yield from ((f"validation_{name}", array) for name, array in self.validation.arrays)
