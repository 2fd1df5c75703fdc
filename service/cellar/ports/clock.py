"""Protocol of a clock, that of the machine, and the loop of background tasks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cellar.errors import StoreUnavailable
from cellar.ports.failure_log import FailureLog

logger = logging.getLogger(__name__)


class Clock(Protocol):
    """The time of day, as a dependency that tests replace."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()


async def repeat(work: Callable[[], Awaitable[object]], every_s: float, failure: str) -> None:
    """Run `work` each `every_s` until cancelled. After an error, which is logged as `failure`, the next run follows.

    A store that refuses is logged once until the work succeeds. One that is not reached is logged by its connection.
    """
    failures = FailureLog(logger, f"this works again: {failure}")
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
            if failures.count:
                failures.worked()
        except StoreUnavailable as error:
            if not error.is_lost:
                failures.failed(f"{failure} now: {error}")
        except Exception:
            logger.exception(failure)
