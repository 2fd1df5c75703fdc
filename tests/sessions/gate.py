"""A gate before the kernel: what comes while it is shut waits, and is what the test wants it to be."""

import asyncio
import threading

from tests.sessions.exact import ExactNetwork


class Gate:
    """Holds the kernel back until it is opened."""

    def __init__(self, network: ExactNetwork) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()
        network.before = self._pass  # type: ignore[method-assign]  # the double's own hook

    async def reached(self) -> None:
        """Wait until a call has come to the gate."""
        assert await asyncio.to_thread(self._entered.wait, 5)

    def open(self) -> None:
        """Let every call pass, from now on."""
        self._opened.set()

    def _pass(self) -> None:
        self._entered.set()
        assert self._opened.wait(10)
