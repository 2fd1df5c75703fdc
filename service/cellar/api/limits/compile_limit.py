"""Limits how many requests compile at the same time, and stops compiling when the client disconnects."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from cellar.api.outcomes.middleware import CALLER
from cellar.engine import while_wanted
from cellar.errors import CompileAbandoned, Overloaded
from cellar.machine import processors
from cellar.ports import ANYBODY

Result = TypeVar("Result")


class CompileLimit:
    """The requests of a process that compile, or wait for the compiler.

    They have their own threads: on those of all other requests they would delay work of a millisecond by minutes.
    """

    def __init__(self, most: int, take: Callable[[str], None] = lambda _: None) -> None:
        """`take` counts a compilation of a tenant, and raises QuotaExceeded for one too many."""
        self._most = most
        self.take = take
        self._threads = ThreadPoolExecutor(processors(), thread_name_prefix="cellar-compile")
        self.count = 0
        """Requests that compile or wait."""

    async def run(self, request: Request, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, which may compile. The body of the request must have been read.

        Raise Overloaded if too many wait already, or ClientDisconnect when the client has disconnected.
        """
        if self.count >= self._most:
            raise Overloaded(
                f"{self._most} requests wait for the compiler, which is its limit (CELLAR_COMPILE_QUEUE)",
                limit=self._most,
                setting="CELLAR_COMPILE_QUEUE",
                retry_after_s=5,
            )
        gone = threading.Event()
        tenant: str = request.scope[CALLER].tenant if CALLER in request.scope else ANYBODY.tenant

        def guarded() -> Result:
            """Run the work unless the client has disconnected."""
            with while_wanted(lambda: not gone.is_set(), lambda: self.take(tenant)):
                if gone.is_set():
                    raise CompileAbandoned("the client has disconnected")
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
        """Start no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, done: "asyncio.Future[Result]") -> None:
        self.count -= 1
        with suppress(asyncio.CancelledError):
            done.exception()  # asyncio logs exceptions that are never retrieved


async def _set_when_gone(request: Request, gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
