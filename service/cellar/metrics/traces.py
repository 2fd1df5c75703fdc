"""The place of the function that makes the spans of a step, if traces are on."""

from collections.abc import Callable
from typing import Any

Record = Callable[[Any, float, float, float], None]
"""Called with a committed request, and when its kernel call began, its commit began, and its commit ended."""


class Traces:
    """The traces of this process."""

    def __init__(self) -> None:
        self.record: Record | None = None
        """Makes the spans of a committed request; None while traces are off."""
        self.end: Callable[[], object] = lambda: None
        """Sends the spans that were made and not sent yet. It may take seconds."""


TRACES = Traces()
