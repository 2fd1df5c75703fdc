"""Protocol of a clock, that of the machine, and the loop of background tasks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cellar.errors import StoreUnavailable

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
    """Run `work` each `every_s` until cancelled. After an error, which is logged as `failure`, the next run follows."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except StoreUnavailable as error:
            logger.warning("%s now: %s", failure, error)
        except Exception:
            logger.exception(failure)
