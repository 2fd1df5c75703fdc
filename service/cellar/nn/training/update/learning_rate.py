"""Computes the learning rate of each update of a run."""

from cellar.nn.training.optimiser import Optimiser
from cellar.nn.training.schedule import Watched


class LearningRate:
    """The learning rates of a run of `epochs` epochs with `updates` updates each.

    A run that continues another one begins after `epochs_before` epochs with `updates_before` updates.
    """

    def __init__(
        self, optimiser: Optimiser, epochs: int, updates: int, epochs_before: int, updates_before: int
    ) -> None:
        self._optimiser, self._updates = optimiser, updates
        self._epochs_before, self._updates_before = epochs_before, updates_before
        self._epochs, self._updates_in_all = epochs_before + epochs, updates_before + epochs * updates
        self._is_of_epoch = not optimiser.schedule.by_update and optimiser.warmup_updates is None
        """Whether all updates of an epoch have the same rate, which then is computed once."""
        self._last: tuple[int, Watched | None, float] = -1, None, 0.0

    def rate(self, epoch: int, watched: Watched | None, update: int) -> float:
        """Return the rate of an update of an epoch, both from 0; `watched` is the state of the schedule."""
        last_epoch, last_watched, rate = self._last
        if epoch != last_epoch or watched is not last_watched:
            rate = self._rate(epoch, watched, update)
            if self._is_of_epoch:
                self._last = epoch, watched, rate
        return rate

    def _rate(self, epoch: int, watched: Watched | None, update: int) -> float:
        schedule, warmup = self._optimiser.schedule, self._optimiser.warmup_updates
        done = self._updates_before + (epoch - self._epochs_before) * self._updates + update
        at, total = (done, self._updates_in_all) if schedule.by_update else (epoch, self._epochs)
        rate = schedule.rate_after(watched, self._optimiser.learning_rate, at, total)
        return rate if warmup is None or done >= warmup else rate * ((done + 1) / warmup)
