"""What is to be written once in a turn of the event loop, however many steps are answered in it."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class DeferredWrites:
    """Calls whoever asks for it when all that happens now has happened: one callback of the loop for all of them."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], None]] = []

    def ask(self, call: Callable[[], None]) -> None:
        """Be called, once for each time that this is asked."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._call)
        self._asked.append(call)

    def _call(self) -> None:
        asked, self._asked = self._asked, []
        for call in asked:
            try:
                call()
            except Exception:  # of one socket; the others would wait for their turn for ever
                logger.exception("a stream's answers were not written")
