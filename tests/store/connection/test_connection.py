"""The one connection: order, one write a call, and no harm from callers that go away."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cellar.errors import StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.router import CommandReplies, Wait
from cellar.store.protocol.resp import ReplyError
from cellar.store.protocol.url import Address
from tests.redis_process import RedisProcess
from tests.redis_sentinel import RedisSentinel

pytestmark = pytest.mark.anyio


@pytest.fixture
async def link(redis_process: RedisProcess) -> AsyncIterator[RedisConnection]:
    """Yield a link to the Redis of the test's own."""
    link = RedisConnection(Address.parse(redis_process.url), reply_timeout_s=2)
    yield link
    await link.aclose()


async def test_replies_come_in_the_order_of_the_commands(link: RedisConnection) -> None:
    answers = await asyncio.gather(
        *[link.call([(b"ECHO", b"%d" % call), (b"ECHO", b"%d again" % call)]) for call in range(50)]
    )
    assert answers == [[b"%d" % call, b"%d again" % call] for call in range(50)]


async def test_all_callers_share_one_connection(link: RedisConnection, redis_process: RedisProcess) -> None:
    await asyncio.gather(*[link.call([(b"PING",)]) for _ in range(20)])
    with redis_process.client() as client:
        names = [str(each["name"]) for each in client.client_list()]
    assert names.count("cellar") == 1


async def test_an_error_is_one_reply_among_others(link: RedisConnection) -> None:
    before, error, after = await link.call([(b"ECHO", b"a"), (b"NONSENSE",), (b"ECHO", b"b")])
    assert (before, after) == (b"a", b"b")
    assert isinstance(error, ReplyError)


async def test_a_caller_that_goes_away_takes_the_reply_of_no_other(link: RedisConnection) -> None:
    await link.call([(b"PING",)])
    callers = [asyncio.create_task(link.call([(b"ECHO", b"%d" % number)])) for number in range(3)]
    await asyncio.sleep(0)
    callers[1].cancel()
    assert await callers[0] == [b"0"]
    assert await callers[2] == [b"2"]


async def test_a_caller_that_goes_away_while_connecting_stops_no_other(link: RedisConnection) -> None:
    callers = [asyncio.create_task(link.call([(b"ECHO", b"%d" % number)])) for number in range(3)]
    await asyncio.sleep(0)
    callers[0].cancel()
    assert await callers[1] == [b"1"]
    assert await callers[2] == [b"2"]


async def test_a_reply_of_many_megabytes(link: RedisConnection) -> None:
    value = bytes(range(256)) * 20_000
    assert await link.call([(b"SET", b"big", value), (b"GET", b"big")]) == [b"OK", value]


async def test_database_and_password_of_the_url(redis_process: RedisProcess) -> None:
    with redis_process.client() as client:
        client.config_set("requirepass", "s e/cret")
    link = RedisConnection(Address.parse(f"unix://user-is-default@{redis_process.socket}?db=3&password=s%20e%2Fcret"))
    with pytest.raises(StoreUnavailable, match="password"):
        await link.call([(b"PING",)])
    link = RedisConnection(Address.parse(f"unix://{redis_process.socket}?db=3&password=s%20e%2Fcret"))
    [info] = await link.call([(b"CLIENT", b"LIST")])
    assert isinstance(info, bytes)
    assert b" db=3 " in info
    await link.aclose()


async def test_a_password_that_is_missing_is_a_refusal(redis_process: RedisProcess, link: RedisConnection) -> None:
    with redis_process.client() as client:
        client.config_set("requirepass", "secret")
    with pytest.raises(StoreUnavailable, match="asks for a password") as refused:
        await link.call([(b"GET", b"a")])
    assert refused.value.outcome == "not_applied"


@pytest.mark.parametrize("password", [False, True])
async def test_a_redis_that_has_no_connection_to_spare_has_got_nothing(
    redis_process: RedisProcess, password: bool
) -> None:
    """It says so before it was asked anything, and closes: that is no reply to a command."""
    link = RedisConnection(
        Address.parse(redis_process.url.replace("unix://", "unix://:secret@" if password else "unix://"))
    )
    with redis_process.client() as client:
        client.config_set("maxclients", 1)
        for _ in range(3):
            with pytest.raises(StoreUnavailable) as caught:
                await link.call([(b"PING",)])
            assert caught.value.outcome == "not_applied"
        client.config_set("maxclients", 100)
    await link.aclose()


async def test_nothing_is_sent_where_no_server_listens(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/nobody.sock", "redis://127.0.0.1:1"):
        with pytest.raises(StoreUnavailable) as caught:
            await RedisConnection(Address.parse(url)).call([(b"PING",)])
        assert caught.value.outcome == "not_applied"


async def test_what_does_not_speak_redis_is_given_up(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(greet, tmp_path / "http.sock"):
        with pytest.raises(StoreUnavailable):
            await RedisConnection(Address.parse(f"unix://{tmp_path}/http.sock")).call([(b"PING",)])


async def test_a_connection_that_was_lost_is_made_again(link: RedisConnection, redis_process: RedisProcess) -> None:
    await link.call([(b"SET", b"a", b"1")])
    redis_process.kill()
    redis_process.start()
    await asyncio.sleep(0.05)  # until the loop has seen the connection end
    assert await link.call([(b"GET", b"a")]) == [b"1"]


async def test_closing_ends_the_calls_under_way(link: RedisConnection) -> None:
    await link.call([(b"PING",)])
    waiting = asyncio.create_task(link.call([(b"BLPOP", b"nothing", b"5")]))
    await asyncio.sleep(0.05)
    await link.aclose()
    with pytest.raises(StoreUnavailable) as caught:
        await waiting
    assert caught.value.outcome == "unknown"


async def test_a_wait_ends_the_write_and_counts_replicas(redis_sentinel: RedisSentinel) -> None:
    link = RedisConnection(Address.parse(f"redis://127.0.0.1:{redis_sentinel.primary.port}"))
    told, copies = await link.send([(b"SET", b"a", b"1"), (b"GET", b"a")], wait=Wait(1, 5000))
    assert (told, copies) == ([b"OK", b"1"], [1, 1])
    told, copies = await link.send([(b"GET", b"a")], before=[(b"PING",)], wait=Wait(5, 1))
    assert (told, copies) == ([b"1"], [1]), "what there is, when the time is over"
    await link.aclose()


async def test_calls_behind_one_that_waits_have_their_time_when_it_is_over(redis_process: RedisProcess) -> None:
    link = RedisConnection(Address.parse(redis_process.url), reply_timeout_s=0.3)
    await link.call([(b"PING",)])
    first, second = await asyncio.gather(
        link.send([(b"SET", b"a", b"1")], wait=Wait(1, 400)), link.send([(b"GET", b"a")], wait=Wait(1, 400))
    )
    assert (first, second) == (CommandReplies([b"OK"], [0]), CommandReplies([b"1"], [0]))
    await link.aclose()


async def test_what_was_not_answered_stands_in_its_place(redis_process: RedisProcess) -> None:
    link = RedisConnection(Address.parse(redis_process.url), reply_timeout_s=0.2)
    await link.call([(b"PING",)])
    redis_process.signal(signal.SIGSTOP)
    told, copies = await link.send([(b"GET", b"a"), (b"GET", b"b")], wait=Wait(1, 1))
    redis_process.signal(signal.SIGCONT)
    assert [reply.outcome for reply in told if isinstance(reply, StoreUnavailable)] == ["unknown", "unknown"]
    assert copies == [0, 0]
    await link.aclose()


async def test_what_cannot_be_used_is_named_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"<html>400 Bad Request</html>")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    at = Address.parse(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    link = RedisConnection(at)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="not answering"):
            await link.call([(b"PING",)])
    server.close()
    await server.wait_closed()
    other = RedisConnection(at)
    with pytest.raises(StoreUnavailable, match="not answering"):
        await other.call([(b"PING",)])
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"Redis at {at} cannot be used: it closes the connection, or does not speak the protocol of Redis",
        f"Redis at {at} cannot be used: Connection refused",
    ]


async def test_a_password_that_is_wrong_is_named_with_the_address(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_process.client() as client:
        client.config_set("requirepass", "secret")
    for password in ("", "&password=wrong"):
        link = RedisConnection(Address.parse(f"unix://{redis_process.socket}?db=0{password}"))
        with pytest.raises(StoreUnavailable, match="password"):
            await link.call([(b"PING",)])
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[0] for text in said] == [f"Redis at {redis_process.socket} cannot be used"] * 2
    assert "NOAUTH" in said[0]
    assert "WRONGPASS" in said[1]


async def test_connections_to_one_server_say_once_that_it_is_away_and_once_that_it_is_back(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    links = [RedisConnection(Address.parse(redis_process.url)) for _ in range(2)]
    await links[0].call([(b"PING",)])
    for _ in range(2):
        redis_process.kill()
        for _ in range(3):
            for link in links:
                with pytest.raises(StoreUnavailable) as lost:
                    await link.call([(b"PING",)])
                assert lost.value.is_lost
        redis_process.start()
        for link in links:
            await link.call([(b"PING",)])
    said = [record.getMessage() for record in caplog.records if "outages" in record.name]
    away, back = (f"Redis at {redis_process.socket} {text}" for text in ("cannot be used: ", "answers again, after "))
    assert [text.startswith(away) for text in said] == [True, False, True, False], said
    assert [text.startswith(back) for text in said] == [False, True, False, True]
    for link in links:
        await link.aclose()
