"""Half-steps: what the next step of a session needs of its state alone, computed while nobody waits for anything.

What is found is kept with the lane's record and falls with it: it is never stored, and no bit depends on it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from cellar.ports import SessionKey, SessionRecord
from cellar.runtime.answers import Floats
from cellar.runtime.lane import Lane
from cellar.runtime.network import Network

logger = logging.getLogger(__name__)

LEAST_FLOPS = 500_000
"""What a step must save to be worth it: ten microseconds or so, a part of what a request costs anyway."""

MOST_OFFERED = 256
"""Sessions that may wait for a half-step; the one stepped longest ago gives way."""

Keep = Callable[[Lane, Floats], None]
"""Takes what was found for the record that a lane has."""


class Ahead:
    """Takes sessions that were just stepped, and computes half-steps one by one, as long as the service is idle."""

    def __init__(self, executor: Executor, idle: Callable[[], bool], keep: Keep) -> None:
        self._executor = executor
        self.idle = idle
        """Tells whether nobody waits for anything."""
        self._keep = keep
        self._offered: OrderedDict[SessionKey, tuple[Lane, SessionRecord, Network]] = OrderedDict()
        self._owner: asyncio.Task[None] | None = None

    def offer(self, lane: Lane, network: Network) -> None:
        """Note a session whose next step may come soon."""
        record = lane.record
        if record is None or network.ahead_flops * record.meta.batch_size < LEAST_FLOPS:
            return
        self._offered[lane.key] = (lane, record, network)
        self._offered.move_to_end(lane.key)
        if len(self._offered) > MOST_OFFERED:
            self._offered.popitem(last=False)
        if self._owner is None:
            self._owner = asyncio.create_task(self._work(), name="ahead")

    async def _work(self) -> None:
        """Compute for those stepped last first; when somebody waits, let all of it be: the machine is busy."""
        try:
            await asyncio.sleep(0)  # whoever was answered may come again at once
            while self._offered and self.idle():
                _, (lane, record, network) = self._offered.popitem()
                # of this very record: another may be of another model
                if lane.record is record and not lane.busy and lane.ahead is None:
                    await self._compute(lane, record, network)
            self._offered.clear()
        finally:
            self._owner = None

    async def _compute(self, lane: Lane, record: SessionRecord, network: Network) -> None:
        try:
            state = np.frombuffer(record.state, dtype="<f4").reshape(record.meta.batch_size, -1)
            found = await asyncio.get_running_loop().run_in_executor(self._executor, network.ahead, state)
        except Exception:  # whatever it is, nobody waits for this: the step itself will tell
            logger.warning("a half-step of session %s could not be computed ahead", lane.key.session, exc_info=True)
        else:
            if lane.record is record and not lane.busy:  # else the session has moved meanwhile, or is about to
                self._keep(lane, found)
