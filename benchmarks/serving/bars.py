"""A bar of the benchmark: a figure that the service must reach, or must not exceed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure with the limit that it must reach or must not exceed."""

    name: str
    value: float
    bar: float
    at_most: bool = False
    means: str = ""
    """The description of the figure."""

    @property
    def met(self) -> bool:
        """Whether the bar is reached; it is not if the figure is NaN."""
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def line(self) -> str:
        """Return `name figure bar ok|short`."""
        return f"{self.name} {_short(self.value)} {_short(self.bar)} {'ok' if self.met else 'short'}"


def _short(value: float) -> str:
    """Return a number with three digits, or all of them if it is large."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
