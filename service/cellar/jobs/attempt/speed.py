"""The speed of a training run and the time that is left, from the reports of an attempt."""

from collections.abc import Callable
from typing import Any

from cellar.nn.training.checkpoints.progress import Progress

SMOOTHING = 0.5
"""The share of the newest report in the rate; reports are a second apart."""

LEAST_S = 0.05
"""A shorter time between two reports says nothing about the rate."""


class Speedometer:
    """Measures updates per second. The first update of an attempt, which compiles kernels, is left out."""

    def __init__(self, clock: Callable[[], float], before_s: float = 0.0) -> None:
        """`before_s` is how long earlier attempts have run."""
        self._clock = clock
        self._began_s = clock() - before_s
        self._last: tuple[float, int] | None = None
        self._rate: float | None = None
        self.steps_per_epoch: int | None = None
        """Steps of all rows in an epoch, if that is known."""

    @property
    def elapsed_s(self) -> float:
        """How long the attempts of the job have run, seconds."""
        return self._clock() - self._began_s

    def members(self, progress: Progress) -> dict[str, Any]:
        """Return the members of a report: rates per second, and seconds until the last epoch has ended.

        A member is None as long as it is unknown. The time that is left is shorter if the run stops early.
        """
        now_s, done = self._clock(), (progress.epoch - 1) * progress.updates + progress.update
        if self._last is None:
            self._last = now_s, done
        elif now_s - self._last[0] >= LEAST_S and done > self._last[1]:
            newest = (done - self._last[1]) / (now_s - self._last[0])
            self._rate = newest if self._rate is None else SMOOTHING * newest + (1 - SMOOTHING) * self._rate
            self._last = now_s, done
        rate = self._rate
        per_update = None if self.steps_per_epoch is None else self.steps_per_epoch / progress.updates
        left = 0 if progress.finished else progress.epochs * progress.updates - done
        return {
            "elapsed_s": round(self.elapsed_s, 3),
            "updates_per_s": None if rate is None else round(rate, 3),
            "steps_per_s": None if rate is None or per_update is None else round(rate * per_update, 1),
            "time_left_s": 0.0 if left == 0 else None if rate is None else round(left / rate, 1),
        }
