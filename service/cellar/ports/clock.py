"""Time."""

from typing import Protocol


class Clock(Protocol):
    """Time as a dependency, so that tests need not wait."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""
        ...
