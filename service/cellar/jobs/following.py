"""Follows jobs: their events, read from the store for all followers of this process together.

A worker writes the events with the changes that they tell of, so that every process of the service reads the same. The
store is read twice a second while there is a follower. The place of a follower is the id of its last event: another
process can continue from there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellar.errors import CellarError, JobUnknown, Overloaded, SweepUnknown
from cellar.ports import JobEvent, JobEventPage, JobEventStore, JobPlace, JobState

POLL_S = 0.5
"""Seconds between two reads: a worker reports once a second."""

HEARTBEAT_S = 15.0
"""Seconds without an event after which a heartbeat is sent: proxies close connections that are silent for longer."""

MOST = 1000
"""Most followers of a process. Each has a connection and up to a page of events."""

READ_AT_ONCE = 64
"""Followers whose events are read together."""

ENDED: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")


@dataclass(eq=False, slots=True)
class JobFollower:
    """A follower of one job."""

    place: JobPlace
    page: JobEventPage
    """The events behind the place, if they were read already."""

    @property
    def is_over(self) -> bool:
        """Whether the follower was given everything up to the end of the job."""
        return bool(self.place.after) and not self.page.events and self.page.state in ENDED


class JobFollowing:
    """All followers of this process. Runs on the event loop, and reads the store on a thread."""

    def __init__(
        self,
        store: JobEventStore,
        *,
        of_sweeps: bool = False,
        poll_s: float = POLL_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MOST,
    ) -> None:
        self._store = store
        self._of_sweeps = of_sweeps
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._waiting: list[tuple[JobPlace, asyncio.Future[JobEventPage | None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._followers: set[JobFollower] = set()
        self._stopping = False

    @property
    def followers(self) -> int:
        """The number of followers."""
        return len(self._followers)

    async def follow(self, place: JobPlace) -> JobFollower:
        """Begin to follow a job; the caller ends that with `unfollow`.

        Raise Overloaded, JobUnknown or StoreUnavailable.
        """
        if self._stopping or len(self._followers) >= self._most:
            raise Overloaded("the service is stopping" if self._stopping else "the service has too many followers")
        (page,) = await asyncio.to_thread(self._store.events, [place])
        if page.state is None:
            raise SweepUnknown(f"no sweep {place.job!r}") if self._of_sweeps else JobUnknown(f"no job {place.job!r}")
        follower = JobFollower(place, page)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: JobFollower) -> None:
        """End a follower. A second call does nothing."""
        self._followers.discard(follower)

    async def events(self, follower: JobFollower) -> AsyncIterator[JobEvent | None]:
        """Yield the events of a job until its end, and None after some time without one.

        Events without an id: `gap` (earlier ones are no longer kept), `deleted` and `stopping`. Raise StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        spoke_s, last = loop.time(), ""
        while True:
            place, page = follower.place, follower.page
            for event in page.events:
                if (missed := _missed(place.after, event.id)) != 0:
                    yield JobEvent("", "gap", json.dumps({"missed": missed}))
                yield event
                place, last = place._replace(after=event.id), event.kind
            if page.state is None:
                yield JobEvent("", "deleted", "{}")
                return
            if page.state in ENDED and (last == "end" or not page.events):
                if last != "end":  # the job ended under a release without events, or the store has lost some
                    yield _end(page)
                return
            now_s = loop.time()
            if page.events:
                spoke_s = now_s
            elif now_s - spoke_s >= self._heartbeat_s:
                spoke_s = now_s
                yield None
            following = await self._next(place)
            if following is None:
                yield JobEvent("", "stopping", "{}")
                return
            follower.place, follower.page = place, following

    async def epochs(self, place: JobPlace, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return finished epochs of a job; see `JobEventStore.epochs`. Raise JobUnknown or StoreUnavailable."""
        return await asyncio.to_thread(self._store.epochs, place.tenant, place.job, after, limit)

    async def outcomes(self) -> Mapping[JobState, int]:
        """Return how many jobs of all tenants have ended in each state. Raise StoreUnavailable."""
        found: Mapping[JobState, int] = await asyncio.to_thread(self._store.outcomes)
        return found

    async def aclose(self) -> None:
        """End all followers with the event that the service stops."""
        self._stopping = True
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_result(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _next(self, place: JobPlace) -> JobEventPage | None:
        """Return the page of the next read behind a place; None if the service stops."""
        if self._stopping:
            return None
        future: asyncio.Future[JobEventPage | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read(), name="events of jobs")
        return await future

    async def _read(self) -> None:
        """Read for all that wait, again and again while one does."""
        while self._waiting:
            await asyncio.sleep(self._poll_s)
            waiting = [each for each in self._waiting if not each[1].done()]
            self._waiting = []
            try:
                for begin in range(0, len(waiting), READ_AT_ONCE):
                    await self._answer(waiting[begin : begin + READ_AT_ONCE])
            finally:  # the service stops
                for _, future in waiting:
                    if not future.done():
                        future.set_result(None)

    async def _answer(self, waiting: "Sequence[tuple[JobPlace, asyncio.Future[JobEventPage | None]]]") -> None:
        futures = [future for _, future in waiting]
        try:
            pages = await asyncio.to_thread(self._store.events, [place for place, _ in waiting])
        except CellarError as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, page in zip(futures, pages, strict=True):
                if not future.done():
                    future.set_result(page)


def _missed(after: str, found: str) -> int | None:
    """Return the number of events between two ids ("": before the first); None if they are of different jobs.

    >>> _missed("", "1700-1"), _missed("1700-1", "1700-5"), _missed("1600-1", "1700-5")
    (0, 3, None)
    """
    born, _, number = found.partition("-")
    before, _, last = after.partition("-")
    if after and before != born:
        return None
    return int(number) - int(last or 0) - 1


def _end(page: JobEventPage) -> JobEvent:
    found = {"state": page.state, "result": page.result, "error": page.error}
    return JobEvent("", "end", json.dumps({name: value for name, value in found.items() if value is not None}))
