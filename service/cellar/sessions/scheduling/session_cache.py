"""What this process knows of sessions, in a bounded memory: their lanes, those used longest ago being forgotten."""

from collections import OrderedDict

from cellar.ports import SessionKey, SessionRecord
from cellar.sessions.scheduling.session_queue import SessionQueue

LANE_BYTES = 2560
"""What a lane costs besides its state, with what the store packs of it: measured at 2.4 KB."""

MOST_BUSY = 64
"""Sessions in use that one eviction passes over: the next one goes on where it ended."""

WRITER_BYTES = 160
"""What a writer's mark costs."""


class SessionCache:
    """The lanes of a process, up to `max_bytes` of them and of what they hold."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lanes: OrderedDict[SessionKey, SessionQueue] = OrderedDict()
        self._bytes = 0

    def lane(self, key: SessionKey) -> SessionQueue:
        """Return the lane of a session, which is a new one if nothing is known of it."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = SessionQueue(key)
            self._bytes += LANE_BYTES
        else:
            self._lanes.move_to_end(key)
        return lane

    def known(self, key: SessionKey) -> SessionQueue | None:
        """Return the lane of a session if there is one."""
        return self._lanes.get(key)

    def believe(self, lane: SessionQueue, record: SessionRecord | None) -> None:
        """Take the session for this, None for unknown.

        What was found out about the session stays if steps alone have led there.
        """
        before, lane.record = lane.record, record
        if record is None or before is None or record.meta is not before.meta:
            lane.served = lane.familiar = None
        elif record.writers is before.writers:  # a step, as most: it holds what it held
            return
        self._bytes += _bytes_of(record) - _bytes_of(before)

    def evict(self) -> None:
        """Forget the sessions used longest ago, while what is known takes too much memory.

        A session that is in use is kept, and counts as used just now.
        """
        looks = MOST_BUSY
        while self._bytes > self._max_bytes and looks:
            lane = next(iter(self._lanes.values()))
            if lane.idle:
                self.believe(lane, None)
                del self._lanes[lane.key]
                self._bytes -= LANE_BYTES
            else:
                self._lanes.move_to_end(lane.key)
                looks -= 1


def _bytes_of(record: SessionRecord | None) -> int:
    return 0 if record is None else len(record.state) + WRITER_BYTES * len(record.writers.all)
