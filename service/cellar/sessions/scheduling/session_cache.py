"""What this process knows of sessions, in a bounded memory: their queues, those used longest ago being forgotten."""

from collections import OrderedDict

from cellar.ports import SessionKey, SessionRecord
from cellar.sessions.scheduling.session_queue import SessionQueue

LANE_BYTES = 2560
"""What a queue costs besides its state, with what the store packs of it: measured at 2.4 KB."""

MOST_BUSY = 64
"""Sessions in use that one eviction passes over: the next one goes on where it ended."""

WRITER_BYTES = 160
"""What a writer's mark costs."""


class SessionCache:
    """The queues of a process, up to `max_bytes` of them and of what they hold."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._scheduler: OrderedDict[SessionKey, SessionQueue] = OrderedDict()
        self._bytes = 0

    def queue(self, key: SessionKey) -> SessionQueue:
        """Return the queue of a session, which is a new one if nothing is known of it."""
        queue = self._scheduler.get(key)
        if queue is None:
            queue = self._scheduler[key] = SessionQueue(key)
            self._bytes += LANE_BYTES
        else:
            self._scheduler.move_to_end(key)
        return queue

    def known(self, key: SessionKey) -> SessionQueue | None:
        """Return the queue of a session if there is one."""
        return self._scheduler.get(key)

    def believe(self, queue: SessionQueue, record: SessionRecord | None) -> None:
        """Take the session for this, None for unknown.

        What was found out about the session stays if steps alone have led there.
        """
        before, queue.record = queue.record, record
        if record is None or before is None or record.meta is not before.meta:
            queue.served = queue.familiar = None
        elif record.writers is before.writers:  # a step, as most: it holds what it held
            return
        self._bytes += _bytes_of(record) - _bytes_of(before)

    def evict(self) -> None:
        """Forget the sessions used longest ago, while what is known takes too much memory.

        A session that is in use is kept, and counts as used just now.
        """
        looks = MOST_BUSY
        while self._bytes > self._max_bytes and looks:
            queue = next(iter(self._scheduler.values()))
            if queue.idle:
                self.believe(queue, None)
                del self._scheduler[queue.key]
                self._bytes -= LANE_BYTES
            else:
                self._scheduler.move_to_end(queue.key)
                looks -= 1


def _bytes_of(record: SessionRecord | None) -> int:
    return 0 if record is None else len(record.state) + WRITER_BYTES * len(record.writers.all)
