"""The listing under those who die or race in the middle."""

import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import pytest

from cellar.errors import InvalidInput, StoreCorrupt
from cellar.ports import EVERY_SESSION, SessionFilter, SessionKey, SessionSummary
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import BUCKETS, SessionKeys
from cellar.store.protocol.url import Address
from cellar.store.sessions.index import EXAMINED_AT_ONCE, MOST_EXAMINED, SAMPLED, SessionIndex, read_summary
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import sync_client
from tests.device_names import ALLOWED, some_names
from tests.proxy import LossyProxy
from tests.redis_process import RedisProcess
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio

KEYS = SessionKeys("test")


@pytest.fixture
async def retrying_client(redis_process: RedisProcess) -> AsyncIterator[RetryingClient]:
    """Yield the way to an empty Redis."""
    link = RedisConnection(Address.parse(redis_process.url))
    yield RetryingClient(link)
    await link.aclose()


def neighbours(count: int) -> list[SessionKey]:
    """Return sessions of one bucket."""
    bucket, found = KEYS.bucket_of(SessionKey("default", "0")), list[SessionKey]()
    number = 0
    while len(found) < count:
        key = SessionKey("default", str(number))
        found += [key] * (KEYS.bucket_of(key) == bucket)
        number += 1
    return found


async def enlist(retrying_client: RetryingClient, *keys: SessionKey) -> None:
    """List names without a record."""
    await retrying_client.execute([SessionIndex(retrying_client, KEYS).add(key) for key in keys])


async def begin(retrying_client: RetryingClient, key: SessionKey) -> None:
    """Store something as the record."""
    await retrying_client.execute([(b"HSET", KEYS.record(key), b"h", b"x")])


async def listed(retrying_client: RetryingClient, *keys: SessionKey) -> list[SessionKey]:
    """Return those of the sessions that are listed."""
    replies = await retrying_client.read([(b"ZSCORE", KEYS.bucket_of(key), key.session.encode()) for key in keys])
    return [key for key, score in zip(keys, replies, strict=True) if score is not None]


async def remove_through(redis_process: RedisProcess, dead: list[SessionKey], passes: Callable[[bytes], None]) -> None:
    """Remove names, with an eye on every piece of the requests before it reaches Redis."""

    def loses(request: bytes) -> bool:
        passes(request)
        return False

    async with LossyProxy(redis_process.url, loses) as proxy:
        link = RedisConnection(Address.parse(proxy.url))
        await SessionIndex(RetryingClient(link), KEYS).remove(dead)
        await link.aclose()


async def test_a_name_whose_record_has_come_back_is_not_touched(
    redis_process: RedisProcess, retrying_client: RetryingClient
) -> None:
    """The one who looks may die at any time: it has removed nothing."""
    there, gone = SessionKey("default", "there"), SessionKey("default", "gone")
    await enlist(retrying_client, there, gone)
    await begin(retrying_client, there)
    requests: list[bytes] = []
    await remove_through(redis_process, [there, gone], requests.append)
    [removal] = [request for request in requests if b"ZREM" in request]
    assert b"there" not in removal
    assert await listed(retrying_client, there, gone) == [there]


async def test_a_name_whose_record_comes_with_the_removal_is_listed_again(
    redis_process: RedisProcess, retrying_client: RetryingClient
) -> None:
    key, other = SessionKey("default", "a"), SessionKey("default", "b")
    await enlist(retrying_client, key, other)

    def comes(request: bytes) -> None:
        if b"ZREM" in request:
            with redis_process.client() as client:
                client.hset(KEYS.record(key).decode(), "h", "x")

    await remove_through(redis_process, [key, other], comes)
    assert await listed(retrying_client, key, other) == [key]


async def test_a_few_names_of_a_bucket_are_looked_at(retrying_client: RetryingClient) -> None:
    live, *dead = neighbours(2 + SAMPLED)
    await enlist(retrying_client, live, *dead)
    await begin(retrying_client, live)
    await SessionIndex(retrying_client, KEYS).tidy(live)
    assert len(await listed(retrying_client, *dead)) in (1, 2), "all that were looked at, but for the one that lives"
    await SessionIndex(retrying_client, KEYS).tidy(live)
    assert await listed(retrying_client, live, *dead) == [live]
    await SessionIndex(retrying_client, KEYS).tidy(SessionKey("other", "in an empty bucket"))


async def test_a_redis_that_removes_nothing_is_listed_all_the_same(
    redis_process: RedisProcess, retrying_client: RetryingClient
) -> None:
    key = SessionKey("default", "a")
    await enlist(retrying_client, key)
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-zrem")
    assert await SessionIndex(retrying_client, KEYS).page("default", "", 10) == ([], "")
    assert await listed(retrying_client, key) == [key]


async def test_a_page_tells_of_what_is_wanted(sessions: RedisSessions) -> None:
    """However it is cut into pages, which may be short, or empty, before the end."""
    models = [f"{name}@{version}" for name in ("co2", "wind") for version in (1, 2)] * 3
    made = [a_record(f"{'ab'[index % 2]}.{index}", model=model) for index, model in enumerate(models)]
    for record in made:
        await sessions.create(record)
    for wanted in (
        EVERY_SESSION,
        SessionFilter(prefix="a."),
        SessionFilter(prefix="a.1"),
        SessionFilter(prefix="c"),
        SessionFilter(model="co2"),
        SessionFilter(model="co2@2"),
        SessionFilter(model="co"),
        SessionFilter(model="wind", prefix="b"),
    ):
        expected = {
            record.key.session
            for record in made
            if record.key.session.startswith(wanted.prefix)
            and wanted.model in (None, record.meta.model, record.meta.model.split("@")[0])
        }
        for limit in (1, 2, 100):
            found, cursor, pages = list[str](), "", 0
            while pages == 0 or cursor:
                page, cursor = await sessions.list("default", cursor, limit, wanted)
                assert len(page) <= limit
                found += [summary.key.session for summary in page]
                pages += 1
            assert (sorted(found), len(found)) == (sorted(expected), len(expected)), wanted


@pytest.mark.parametrize("name", ["a", "site/1", "a}b", "温度", "~", "\U0010ffff"])
async def test_a_page_goes_on_behind_a_name_that_is_the_prefix(retrying_client: RetryingClient, name: str) -> None:
    """It was found again by each page when others of its bucket came after it."""
    bucket = KEYS.bucket_of(SessionKey("default", name))
    others = (SessionKey("default", f"{name}{number}") for number in itertools.count())
    keys = [SessionKey("default", name), *itertools.islice((key for key in others if KEYS.bucket_of(key) == bucket), 3)]
    await enlist(retrying_client, *keys)
    index = SessionIndex(retrying_client, KEYS)
    found: list[str] = []
    last = ""
    for _ in keys:
        ((_, last),), _ = await index._next("default", int(bucket[-2:], 16), last, 1, name)
        found.append(last)
    assert found == sorted(key.session for key in keys)


async def test_a_listing_has_every_name_once(sessions: RedisSessions) -> None:
    """With cursors that may stand in a URL as they are."""
    names = {*ALLOWED, *some_names(50, seed=1)}
    for name in names:
        await sessions.create(a_record(name))
    for prefix in ("", "a", "%", "/", "😀", "..", "温"):
        for limit in (1, 7, 1000):
            found, cursor, pages = list[str](), "", 0
            while pages == 0 or cursor:
                page, cursor = await sessions.list("default", cursor, limit, SessionFilter(prefix=prefix))
                assert re.fullmatch("[A-Za-z0-9._:~-]*", cursor)
                found += [summary.key.session for summary in page]
                pages += 1
            assert sorted(found) == sorted(name for name in names if name.startswith(prefix))


@pytest.mark.parametrize("cursor", ["0", "zz", "00a/b", "00~/w", "00~a", "00~abcde", "00~YQ\n", "00" + "a" * 257])
async def test_what_is_no_cursor_is_refused(sessions: RedisSessions, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await sessions.list("default", cursor, 1, EVERY_SESSION)


@pytest.mark.parametrize("cursor", ["", "00", "ff", "ffzz", "00~", "00~_w", "00~____", "00~YQ"])
async def test_a_cursor_is_a_place_whether_or_not_there_is_such_a_name(sessions: RedisSessions, cursor: str) -> None:
    assert await sessions.list("default", cursor, 1, EVERY_SESSION) == ([], "")


async def test_no_more_names_are_read_than_a_page_has(
    redis_process: RedisProcess, retrying_client: RetryingClient
) -> None:
    """As many were read of each of the next 32 buckets: 32,000 names for a page of 1,000 among 300,000 sessions."""
    await enlist(retrying_client, *(SessionKey("default", str(number)) for number in range(256)))
    with redis_process.client() as client:
        client.config_resetstat()
        index = SessionIndex(retrying_client, KEYS)
        names, (bucket, last) = await index._next("default", 0, "", 5)
        stats = client.info("commandstats")
        following, _ = await index._next("default", bucket, last, 5)
        searched = client.info("commandstats")["cmdstat_zlexcount"]["calls"]
    assert (len(names), (bucket, last)) == (5, names[-1])
    assert stats["cmdstat_zrangebylex"]["calls"] <= 5
    assert len({*names, *following}) == 10
    assert ("cmdstat_zlexcount" in stats, searched) == (False, 1), "only the bucket of the cursor is searched to count"


async def test_a_page_does_not_look_at_everything(sessions: RedisSessions, redis_url: str) -> None:
    """Names without a record go as they are looked at, so those that have gone were."""
    for wanted, limit in ((SessionFilter(model="nobody"), 1), (EVERY_SESSION, 1000)):
        for record in [a_record() for _ in range(3)]:
            await sessions.create(record)
        crowd = [SessionKey("default", str(number)) for number in range(2 * MOST_EXAMINED)]
        with closing(sync_client(redis_url)) as client:
            pipeline = client.pipeline()
            for key in crowd:
                pipeline.zadd(sessions.keys.bucket_of(key), {key.session: 0})
            pipeline.execute()
            found, cursor, left = list[SessionSummary](), "", [len(crowd) + 3]
            while len(left) == 1 or cursor:
                page, cursor = await sessions.list("default", cursor, limit, wanted)
                found += page
                for bucket in range(BUCKETS):
                    pipeline.zcard(sessions.keys.bucket("default", bucket))
                left.append(sum(pipeline.execute()))
        most = max(before - after for before, after in itertools.pairwise(left))
        assert EXAMINED_AT_ONCE < most <= MOST_EXAMINED + max(limit, EXAMINED_AT_ONCE)
        assert len(found) == (0 if wanted.model else 6)
        assert left[-1] == (3 if wanted.model else 6)


async def test_a_record_that_is_damaged_is_said_to_be() -> None:
    with pytest.raises(StoreCorrupt):
        read_summary(SessionKey("default", "a"), [[b"head", None], 1000])


def test_sessions_spread_over_the_buckets() -> None:
    buckets = {KEYS.bucket_of(a_record().key) for _ in range(1000)}
    assert len(buckets) > 200
