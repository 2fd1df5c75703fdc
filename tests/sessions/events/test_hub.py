"""The event hub: every event is sent once and in order, gaps and ends too, and no subscriber delays another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
import redis

from cellar.errors import NotKept, Overloaded, SessionExpired, SessionUnknown
from cellar.ports import APPEND, SessionKey
from cellar.sessions.events.hub import EventHub
from cellar.sessions.events.subscription import BUFFER, End, EventId, Gap, Heartbeat, NewEvent, Notice, Subscription
from cellar.store.companions.events import RedisEvents
from cellar.store.connection.connection import RedisConnection
from cellar.store.protocol.url import Address
from tests.redis_process import RedisProcess
from tests.sessions.conftest import Service, StartService
from tests.sessions.session_calls import begin, step

pytestmark = pytest.mark.anyio

StartWatchers = Callable[..., EventHub]


@pytest.fixture
async def start_watchers() -> AsyncIterator[StartWatchers]:
    """Yield a maker of watchers of what a service stores: `start_watchers(service, url)`."""
    started: list[tuple[EventHub, RedisEvents, RedisConnection]] = []

    def start(service: Service, url: str, *, page: int = 256, **options: Any) -> EventHub:
        async def find() -> Address:
            return Address.parse(url)

        link = RedisConnection(Address.parse(url))
        events = RedisEvents(link, find, prefix=service.prefix, page=page)
        # sessions are not looked at without a hint, unless a test asks for it
        watchers = EventHub(service.store, events, **{"poll_s": 1000.0, "heartbeat_s": 1000.0, **options})
        started.append((watchers, events, link))
        return watchers

    yield start
    for watchers, events, link in started:
        await watchers.aclose()
        await events.aclose()
        await link.aclose()


async def told(watchers: EventHub, watcher: Subscription, count: int) -> list[Notice]:
    """Return the next notices."""
    found: list[Notice] = []
    # aclosing wants a narrower type
    async with asyncio.timeout(20), aclosing(watchers.notices(watcher)) as notices:  # type: ignore[type-var]
        async for notice in notices:
            found.append(notice)
            if len(found) == count:
                break
    return found


def revisions(notices: list[Notice]) -> list[int]:
    """Return which changes were told."""
    assert all(isinstance(notice, NewEvent) for notice in notices), notices
    return [notice.id.revision for notice in notices if isinstance(notice, NewEvent)]


async def test_all_who_watch_are_told_everything_once_and_in_order(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url)
    keys = [await begin(service, events=1000) for _ in range(3)]
    watching = [(key, await watchers.subscribe(key)) for key in keys for _ in range(4)]
    reading = [asyncio.create_task(told(watchers, watcher, 21)) for _, watcher in watching]
    for value in range(20):
        await asyncio.gather(*(step(service, key, value) for key in keys))
    await asyncio.gather(*(service.sessions.reset(key, APPEND) for key in keys))
    for (key, _), read in zip(watching, reading, strict=True):
        notices = await read
        assert revisions(notices) == list(range(1, 22))
        kinds = [notice.event.kind for notice in notices if isinstance(notice, NewEvent)]
        assert kinds == ["step"] * 20 + ["reset"]
        last = notices[-1]
        assert isinstance(last, NewEvent)
        assert last.event.after == (await service.sessions.get(key)).position
    assert sum(len(service_topic.subscribers) for service_topic in watchers._topics.values()) == 12
    for _, watcher in watching:
        watchers.unsubscribe(watcher)
    assert not watchers._topics


async def test_changes_of_another_process_are_told(
    redis_url: str, start_service: StartService, start_watchers: StartWatchers
) -> None:
    one, other = start_service(redis_url), start_service(redis_url)
    watchers = start_watchers(one, redis_url)
    key = await begin(one, events=10)
    watcher = await watchers.subscribe(key)
    reading = asyncio.create_task(told(watchers, watcher, 2))
    await step(other, key, 1)
    await step(one, key, 2)
    assert revisions(await reading) == [1, 2]


async def test_one_who_resumes_is_told_what_came_meanwhile(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url, page=3)
    key = await begin(service, events=1000)
    watcher = await watchers.subscribe(key)
    await step(service, key, 0)
    [first] = await told(watchers, watcher, 1)
    assert isinstance(first, NewEvent)
    watchers.unsubscribe(watcher)
    for value in range(10):
        await step(service, key, value)
    again = await watchers.subscribe(key, first.id)
    assert revisions(await told(watchers, again, 10)) == list(range(2, 12))
    await step(service, key, 5)
    assert revisions(await told(watchers, again, 1)) == [12]


async def test_kept_events_are_told_from_the_birth_on(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url)
    key = await begin(service, events=1000)
    await step(service, key, 1)
    [created, stepped] = await told(watchers, await watchers.subscribe(key, kept=True), 2)
    assert isinstance(created, NewEvent)
    assert isinstance(stepped, NewEvent)
    assert (created.event.kind, created.id.revision, stepped.event.steps) == ("create", 0, 1)


async def test_a_trimmed_gap_is_told(
    service: Service, redis_url: str, start_watchers: StartWatchers, redis_client: Any
) -> None:
    watchers = start_watchers(service, redis_url)
    key = await begin(service, events=1000)
    incarnation = (await service.store.load(key)).meta.incarnation
    for value in range(9):
        await step(service, key, value)
    redis_client.xtrim(service.store.keys.events(key), maxlen=3, approximate=False)
    notices = await told(watchers, await watchers.subscribe(key, EventId(incarnation, 2)), 4)
    assert notices[0] == Gap(4)
    assert revisions(notices[1:]) == [7, 8, 9]
    redis_client.delete(service.store.keys.events(key))
    assert await told(watchers, await watchers.subscribe(key, EventId(incarnation, 2)), 1) == [Gap(7)]


async def test_another_session_of_the_name_is_told_apart(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url)
    key = SessionKey("default", "phoenix")
    await begin(service, session="phoenix", events=10)
    await step(service, key, 1)
    first = await watchers.subscribe(key, kept=True)
    notices = await told(watchers, first, 2)
    await service.sessions.delete(key)
    assert await told(watchers, first, 1) == [End("deleted")]
    with pytest.raises(SessionUnknown):
        await watchers.subscribe(key)
    await begin(service, session="phoenix", events=10)
    last = notices[-1]
    assert isinstance(last, NewEvent)
    missed, created = await told(watchers, await watchers.subscribe(key, last.id), 2)
    assert missed == Gap(-1)
    assert isinstance(created, NewEvent)
    assert (created.id.revision, created.id.incarnation == last.id.incarnation) == (0, False)


async def test_a_session_that_expires_ends_its_watchers(
    service: Service, redis_url: str, start_watchers: StartWatchers, redis_client: Any
) -> None:
    watchers = start_watchers(service, redis_url)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    redis_client.delete(service.store.keys.record(key))  # which is what Redis does, without a word
    reading = asyncio.create_task(told(watchers, watcher, 1))
    await watchers._events.notify_expired([key])  # type: ignore[attr-defined]  # the port's implementation
    assert await reading == [End("expired")]
    with pytest.raises(SessionExpired):
        await watchers.subscribe(key)


async def test_what_gives_no_hint_is_found_by_looking(
    service: Service, redis_url: str, start_watchers: StartWatchers, redis_client: Any
) -> None:
    watchers = start_watchers(service, redis_url, poll_s=0.05)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    redis_client.delete(service.store.keys.record(key))
    assert await told(watchers, watcher, 1) == [End("expired")]


async def test_a_slow_watcher_delays_no_other_and_misses_nothing(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url, page=20)
    key = await begin(service, events=1000)
    slow, quick = await watchers.subscribe(key), await watchers.subscribe(key)
    count = 2 * BUFFER
    reading = asyncio.create_task(told(watchers, quick, count))
    for value in range(count):
        await step(service, key, value)
    assert revisions(await reading) == list(range(1, count + 1))
    assert len(slow.buffer) <= BUFFER
    assert revisions(await told(watchers, slow, count)) == list(range(1, count + 1))


async def test_heartbeats_are_sent_when_there_are_no_events(
    service: Service, redis_url: str, start_watchers: StartWatchers
) -> None:
    watchers = start_watchers(service, redis_url, heartbeat_s=0.01)
    watcher = await watchers.subscribe(await begin(service, events=10))
    assert await told(watchers, watcher, 2) == [Heartbeat(), Heartbeat()]


async def test_a_service_that_stops_says_so(service: Service, redis_url: str, start_watchers: StartWatchers) -> None:
    watchers = start_watchers(service, redis_url)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    reading = asyncio.create_task(told(watchers, watcher, 1))
    await watchers.aclose()
    assert await reading == [End("stopping")]
    with pytest.raises(Overloaded):
        await watchers.subscribe(key)


async def test_too_many_are_refused(service: Service, redis_url: str, start_watchers: StartWatchers) -> None:
    watchers = start_watchers(service, redis_url, most=1)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    with pytest.raises(Overloaded):
        await watchers.subscribe(key)
    watchers.unsubscribe(watcher)
    watchers.unsubscribe(watcher)
    watchers.unsubscribe(await watchers.subscribe(key))
    with pytest.raises(NotKept):
        await watchers.subscribe(await begin(service))


async def test_events_are_told_after_a_restart_of_redis(
    redis_process: RedisProcess, start_service: StartService, start_watchers: StartWatchers
) -> None:
    service = start_service(redis_process.url)
    watchers = start_watchers(service, redis_process.url)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    await step(service, key, 1)
    assert revisions(await told(watchers, watcher, 1)) == [1]
    redis_process.kill()
    redis_process.start()
    await step(service, key, 2)
    await step(service, key, 3)
    assert revisions(await told(watchers, watcher, 2)) == [2, 3]


async def test_a_commit_needs_no_right_to_give_hints(
    redis_process: RedisProcess, start_service: StartService, start_watchers: StartWatchers
) -> None:
    """A user without any channel: hints are refused, commits are not, and looking finds what happened."""
    with redis.Redis.from_url(redis_process.url, protocol=2) as client:
        rules = ("SETUSER", "quiet", "on", ">secret", "~*", "+@all", "resetchannels")
        client.execute_command("ACL", *rules)
    service = start_service(redis_process.url.replace("unix://", "unix://quiet:secret@"))
    watchers = start_watchers(service, redis_process.url, poll_s=0.05)
    key = await begin(service, events=10)
    watcher = await watchers.subscribe(key)
    await step(service, key, 1)
    assert revisions(await told(watchers, watcher, 1)) == [1]


async def test_a_fault_at_one_session_hides_no_other(
    service: Service, redis_url: str, start_watchers: StartWatchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does any other fault of the one task that looks for all."""
    watchers = start_watchers(service, redis_url, poll_s=0.05)
    keys = [await begin(service, events=100) for _ in range(3)]
    bad, *good = [await watchers.subscribe(key) for key in keys]
    events, faults = watchers._events, 0
    real_read, real_changed = events.read, events.changed

    async def read(after: Any) -> Any:
        nonlocal faults
        if keys[0] in after:
            faults += 1
            raise RuntimeError("cannot be read")
        return await real_read(after)

    async def changed() -> set[SessionKey]:
        nonlocal faults
        if faults < 2:
            faults += 1
            raise ValueError("not understood")
        return await real_changed()

    monkeypatch.setattr(events, "read", read)
    monkeypatch.setattr(events, "changed", changed)
    for key in keys:
        await step(service, key, 1)
    for watcher in good:
        (notice,) = await told(watchers, watcher, 1)
        assert isinstance(notice, NewEvent)
    assert faults
    with pytest.raises(RuntimeError, match="cannot be read"):
        await told(watchers, bad, 1)
