"""Requests that compile: on threads of their own, a bounded number of them, and no longer than their clients wait."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from cellar.engine import while_wanted
from cellar.errors import CompileAbandoned, Overloaded

Result = TypeVar("Result")


class CompileLimit:
    """The requests of a process that wait for the compiler.

    The threads that all other requests share would be held for as long as it takes: whatever needs one of them for a
    millisecond would wait for minutes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="cellar-compile")
        self.count = 0
        """Requests that are being compiled, or wait for it."""

    async def run(self, request: Request, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, which may compile. The body of the request must have been read.

        Raise Overloaded if too many wait already, or ClientDisconnect once nobody waits for the answer.
        """
        if self.count >= self._most:
            raise Overloaded(
                f"{self._most} requests wait for the compiler, which is its limit (CELLAR_COMPILE_QUEUE)",
                retry_after_s=5,
            )
        gone = threading.Event()

        def guarded() -> Result:
            with while_wanted(lambda: not gone.is_set()):
                if gone.is_set():
                    raise CompileAbandoned("nobody waits for it any more")
                return work()

        self.count += 1
        done = asyncio.get_running_loop().run_in_executor(self._threads, guarded)
        done.add_done_callback(self._end)
        watching = asyncio.create_task(_set_when_gone(request, gone), name="client of a compilation")
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            gone.set()
            raise
        except CompileAbandoned:
            raise ClientDisconnect from None
        finally:
            watching.cancel()

    def close(self) -> None:
        """Begin nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, done: "asyncio.Future[Result]") -> None:
        self.count -= 1
        with suppress(asyncio.CancelledError):
            done.exception()  # seen, also where nobody waits any more


async def _set_when_gone(request: Request, gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
