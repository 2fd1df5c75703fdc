"""What is to be written once in a turn of the event loop, however many steps are answered in it."""

import asyncio
from collections.abc import Callable


class Turns:
    """Calls whoever asks for it when all that happens now has happened: one callback of the loop for all of them."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], None]] = []

    def ask(self, call: Callable[[], None]) -> None:
        """Be called, once for each time that this is asked. The call must not raise."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._call)
        self._asked.append(call)

    def _call(self) -> None:
        asked, self._asked = self._asked, []
        for call in asked:
            call()
