"""The memory of all requests of a process, against one limit.

Every part of a request reserves the bytes that it holds: bodies and messages while they arrive, the arrays that are
decoded from them, the outputs of steps, and answers that their clients have not read. What does not fit is refused, or
waits a while. Requests of a usual size reserve nothing, and a part of the memory is kept for small bodies.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from cellar.errors import BodyTooLarge, Overloaded

LEAST_MEMORY_BYTES = 256 * 1024 * 1024
"""The memory of requests where nothing else is set."""

SMALL_BYTES = 64 * 1024
"""A quarter of the memory is kept free of larger bodies that arrive, and an eighth of what is decoded from them."""

WAIT_S = 5.0
"""Longest time that a received body waits for the memory in which it is decoded, seconds."""

DECODED_TIMES = 5
"""The memory of a body and of all that is decoded from it, over its size: the body; at most twice its size of float32
(`0,` in JSON) or four times (int8 in npy); brackets and commas of long JSON, and pieces of 64 KiB."""

NUMBER_BYTES = 8
"""The memory that decoding takes for each comma of long JSON: a float32 number, and its brackets and commas."""

OTHER_BYTES = 1024 * 1024
"""The memory that decoding takes in addition: pieces, and members that are no numbers."""

FRAME_TIMES = 2
"""The memory of a frame of float32 numbers and its steps over its size."""


def json_bytes(size: int, commas: int) -> int:
    """Return the memory of a JSON body of this size, and of all that is decoded from it."""
    return min(DECODED_TIMES * size, size + NUMBER_BYTES * commas + OTHER_BYTES)


class _Waiting(NamedTuple):
    """A reservation that waits to become larger."""

    reservation: "Reservation"
    size: int
    granted: "asyncio.Future[None]"


class RequestMemory:
    """Counts the bytes that requests hold. Only `drop` may be called on another thread than that of the
    event loop."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held_bytes = 0
        self.new_bytes = 0
        """Bytes of answers that were written within the last second. They do not count against older ones."""
        self._dropped: deque[int] = deque()
        """Sizes of reservations that were dropped, not subtracted yet."""
        self._line: deque[_Waiting] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop, while reservations wait."""

    @property
    def held_bytes(self) -> int:
        """All reserved bytes."""
        while self._dropped:
            self._held_bytes -= self._dropped.popleft()
        return self._held_bytes

    @property
    def largest_bytes(self) -> int:
        """The most that one body may need with all that is decoded from it."""
        return self.most_bytes * 7 // 8

    def reservation(self) -> "Reservation":
        """Return a reservation of no bytes."""
        return Reservation(self)

    def room_for(self, body_bytes: int, times: int = DECODED_TIMES) -> "Room":
        """Reserve memory for a long line or message and what is decoded from it, until the context ends.

        Raise BodyTooLarge or Overloaded.
        """
        return Room(self.reservation(), body_bytes, times)

    def take(self, more_bytes: int, size: int, eighths: int, besides: int = 0) -> None:
        """Reserve more bytes for something that has `size` bytes with them, or fewer. Raise Overloaded.

        `eighths` of the memory may be reserved then, without `besides`.
        """
        most_bytes = self.most_bytes if size <= SMALL_BYTES else self.most_bytes * eighths // 8
        if more_bytes > 0 and self.held_bytes - besides + more_bytes > most_bytes:
            raise self._refusal()
        self.count(more_bytes)

    def count(self, more_bytes: int) -> None:
        """Reserve bytes that are held already, whatever the limit, or fewer."""
        self._held_bytes += more_bytes
        if more_bytes < 0 and self._line:
            self._grant()

    def drop(self, size: int) -> None:
        """Subtract a dropped reservation, on any thread."""
        self._dropped.append(size)
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._grant)

    def check(self, size: int) -> None:
        """Raise BodyTooLarge for a request that never fits."""
        if size > self.largest_bytes:
            raise BodyTooLarge(
                f"the request takes {size} bytes when it is decoded and answered, and all requests together may take"
                f" {self.largest_bytes} (CELLAR_MAX_UNFINISHED_BYTES)"
            )

    async def wait(self, reservation: "Reservation", size: int) -> None:
        """Wait in line until a reservation may have this size. Raise BodyTooLarge if it never may, or Overloaded."""
        self.check(size)
        self._loop = asyncio.get_running_loop()
        waiting = _Waiting(reservation, size, self._loop.create_future())
        self._line.append(waiting)
        self._grant()
        try:
            await asyncio.wait_for(waiting.granted, WAIT_S)
        except TimeoutError:
            raise self._refusal() from None
        finally:
            if waiting in self._line:
                self._line.remove(waiting)
                self._grant()

    def _grant(self) -> None:
        """Enlarge the reservations that wait, in their order, as long as there is room."""
        while self._line:
            first = self._line[0]
            if first.granted.done():  # its time is over, or its client has gone
                self._line.popleft()
                continue
            if self.held_bytes + first.size - first.reservation.size > self.largest_bytes:
                return
            self._line.popleft()
            first.reservation.hold(first.size)
            first.granted.set_result(None)
        self._loop = None

    def _refusal(self) -> Overloaded:
        return Overloaded(
            f"requests that are not finished hold {self.held_bytes} bytes of the {self.most_bytes} that the service"
            " gives them (CELLAR_MAX_UNFINISHED_BYTES)"
        )


class Room:
    """The context of `RequestMemory.room_for`."""

    def __init__(self, reservation: "Reservation", body_bytes: int, times: int) -> None:
        self._reservation = reservation
        self._body_bytes = body_bytes
        self._times = times

    async def __aenter__(self) -> "Reservation":
        """Wait for the memory."""
        if self._body_bytes > SMALL_BYTES:
            self._reservation.hold(self._body_bytes)
            try:
                await self._reservation.grow(self._times * self._body_bytes)
            except BaseException:
                self._reservation.release()
                raise
        return self._reservation

    async def __aexit__(self, *_: object) -> None:
        """Release it."""
        self._reservation.release()


class Reservation:
    """The bytes of one part of a request. They are free again when they are released, or when the object is dropped."""

    __slots__ = ("_memory", "size")

    def __init__(self, memory: RequestMemory) -> None:
        self._memory = memory
        self.size = 0

    def __del__(self) -> None:
        if self.size:
            self._memory.drop(self.size)

    def resize(self, size: int) -> None:
        """Set the size of what is being received. Raise Overloaded, without a change, if there is not enough."""
        if size != self.size:
            self._memory.take(size - self.size, size, 6)
            self.size = size

    def extend(self, size: int) -> None:
        """Set the size of what a received request holds while it is run.

        Raise BodyTooLarge if it never fits, or Overloaded, without a change.
        """
        if size != self.size:
            self._memory.check(size)
            self._memory.take(size - self.size, size, 7)
            self.size = size

    def keep(self, size: int) -> None:
        """Set the size of an answer that was written more than a second ago. Raise Overloaded, without a change."""
        self._memory.take(size - self.size, size, 6, self._memory.new_bytes)
        self.size = size

    def hold(self, size: int) -> None:
        """Set the size of what is in memory already, whatever the limit."""
        more, self.size = size - self.size, size
        self._memory.count(more)

    async def grow(self, size: int) -> None:
        """Set the size of what is to be decoded, after those that wait for it. Raise BodyTooLarge or Overloaded."""
        await self._memory.wait(self, size)

    def release(self) -> None:
        """Set the size to zero."""
        self.hold(0)
