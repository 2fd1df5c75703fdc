"""The reports of a training run: its progress after each update, its epochs, and an evaluation at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellar.engine import Floats

Weights = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the loss history. Losses are means over scored steps, whatever `reduce` says."""

    epoch: int
    """From 1."""
    loss: float
    validation_loss: float | None
    learning_rate: float

    @property
    def watched(self) -> float:
        """Return the loss that early stopping watches: of validation if there is any."""
        return self.loss if self.validation_loss is None else self.validation_loss


WORSE = 0.01
"""A result is worse if its loss exceeds that at the begin by more than this share. Rounding, and the noise of
a run that has changed little, are far below this."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean losses over the same scored steps, without dropout. None: not finite."""

    data: Literal["training", "validation"]
    """The steps: those of validation if there are any, otherwise those of training."""
    loss: float | None
    """The loss with the resulting weights."""
    before: float | None
    """The loss with the weights at the begin of the run."""
    last_value: float | None
    """The loss of the forecast that repeats the last value; None if the targets are not inputs of later steps."""
    seasonal_value: float | None = None
    """The loss of the forecast that repeats the value of a period before; None if it is not known."""
    mean: float | None = None
    """The loss of the forecast that is the mean of the training part; None if it is not known."""
    period: int | None = None
    """The period of the seasonal value, in steps."""
    mae: float | None = None
    """The mean absolute error in the units of the targets, of a forecast that was learnt from a dataset."""
    by_target: dict[str, dict[str, float | None]] | None = None
    """Mean absolute errors of each target in its units, of the result (`model`) and of the naive forecasts."""

    @property
    def naive(self) -> dict[str, float]:
        """The losses of the naive forecasts that are known, by name."""
        found = {"last_value": self.last_value, "seasonal_value": self.seasonal_value, "mean": self.mean}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def better_by(self) -> dict[str, float] | None:
        """By which share the loss is below that of each naive forecast; negative if it is above. None: not known."""
        if self.loss is None or not self.naive:
            return None
        return {name: 1 - self.loss / value for name, value in self.naive.items() if value > 0}

    @property
    def best_naive(self) -> str | None:
        """The naive forecast with the lowest loss."""
        return min(self.naive, key=lambda name: self.naive[name], default=None)

    @property
    def worse(self) -> bool:
        """Whether the result is worse than the weights at the begin."""
        if self.loss is None:
            return True
        return self.before is not None and self.loss > self.before * (1 + WORSE)

    @property
    def beaten(self) -> bool:
        """Whether a naive forecast is as good."""
        return self.best_naive is not None and (self.loss is None or self.loss >= self.naive[self.best_naive])


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run after an update. The two functions are valid until the next update."""

    epoch: int
    """The epoch of the update, from 1."""
    epochs: int
    update: int
    """Updates made in this epoch, out of `updates`."""
    updates: int
    loss: float
    """Mean over the scored steps of this epoch so far."""
    finished: bool
    """The run is over: `weights` is the result."""
    history: tuple[EpochRecord, ...]
    """The finished epochs, at most the newest thousand."""
    kept: EpochRecord | None
    """The epoch whose weights would be the result if the run ended now; None before the first one."""
    weights: Callable[[], dict[str, Floats]] = field(repr=False)
    """Return the result so far: with early stopping the best weights, otherwise the newest."""
    checkpoint: Callable[[], bytes] = field(repr=False)
    """Return all that `fit` needs to continue from here, in any process, with the same bits."""
