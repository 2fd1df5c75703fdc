"""Defers writes of WebSockets to the end of a turn of the event loop, so that its answers are sent together."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class DeferredWrites:
    """Calls functions in the next turn of the event loop, with one callback of the loop for all of them."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def add(self, call: Callable[[], None]) -> None:
        """Call a function in the next turn, once for each time that it was added."""
        if not self._calls:
            asyncio.get_running_loop().call_soon(self._call)
        self._calls.append(call)

    def _call(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:  # of one socket; the writes of the others must not be lost
                logger.exception("a stream's answers were not written")
