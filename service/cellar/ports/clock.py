"""Protocol of a clock."""

from typing import Protocol


class Clock(Protocol):
    """The time of day, as a dependency that tests replace."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""
