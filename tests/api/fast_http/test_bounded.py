"""One connection takes no more than its share: of memory, of the loop, of time, and of the number of connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cellar.api.fast_http import bounded
from cellar.api.fast_http.bounded import PIECE_BYTES, BoundedProtocol
from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.limits.limits import MOST_HEADERS, MOST_TRAILER_BYTES
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import Connection, connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

HEAD_BYTES = 4096


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with limits that tests can reach."""
    async with serving(with_own_keys(settings, max_head_bytes=HEAD_BYTES)) as served:
        yield served


async def slug(client: Connection) -> tuple[int, str]:
    """Return status and kind of the next answer, which is a problem."""
    answer = await client.answer()
    return answer.status, str(answer.body["type"]).rpartition(":")[2]


def http_connections(served: Served) -> list[StepProtocol]:
    return [one for one in served.server.server_state.connections if isinstance(one, StepProtocol)]


# --- (a) pipelining ---------------------------------------------------------------------------------------------------


async def test_no_more_is_parsed_while_requests_wait_for_an_answer(served: Served) -> None:
    """However much a client sends without reading: what waits is bounded, and all of it is answered in the end."""
    count, most = 3000, 0
    async with connected(served) as client:
        client.writer.write(HEALTH * count)
        await until(lambda: bool(http_connections(served)))
        service = of_the_service(served, client)
        answers = 0
        while answers < count:
            most = max(most, len(service.pipeline))
            data = await client.reader.read(1 << 16)
            assert data
            answers += data.count(b"HTTP/1.1 200")
        assert answers == count
    assert 0 < most <= PIECE_BYTES / len(HEALTH) + 1


async def test_a_client_that_reads_no_answers_is_read_no_further(served: Served) -> None:
    """Neither requests nor answers heap up."""
    async with connected(served) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's reader has it
        stuck = False
        for _ in range(400):
            client.writer.write(HEALTH * 1000)
            try:
                await asyncio.wait_for(client.writer.drain(), 0.5)
            except TimeoutError:
                stuck = True
                break
        assert stuck, "it takes as much as it gets"
        service = of_the_service(served, client)
        assert len(service.pipeline) <= PIECE_BYTES / len(HEALTH) + 1
        assert service.flow.holding
        assert service.transport.get_write_buffer_size() < 256 * 1024
        client.writer.transport.abort()


async def test_others_have_their_turn_between_pipelined_requests(served: Served) -> None:
    """A step that comes behind thousands of pipelined requests of others is answered long before them."""
    session = await served.begin()
    async with connected(served) as flood, connected(served) as other:
        flood.writer.write(HEALTH * 5000)
        await until(lambda: any(one.pipeline for one in http_connections(served)))
        other.writer.write(request(session, step(1, 2)))
        assert (await other.answer()).status == 200
        service = of_the_service(served, flood)
        assert service._held, "the flood is not over"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_long_body_arrives_whole_however_it_is_parsed(served: Served, chunked: bool) -> None:
    """With requests before and behind it, in one piece."""
    body = json.dumps({"inputs": [[1.0, 2.0]] * 999}).encode() + b" " * 200_000
    session = await served.begin()
    head = (
        b"POST /v1/sessions/%s/sequence HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        % session.encode()
    )
    if chunked:
        pieces = [body[at : at + 7000] for at in range(0, len(body), 7000)]
        data = head + b"Transfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(served) as client:
        client.writer.write(HEALTH + data + HEALTH * 100)
        found = [await client.answer() for _ in range(102)]
    assert [answer.status for answer in found] == [200] * 102
    assert found[1].body["step"] == 999


# --- (d) heads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n",
        HEALTH[:-2] + b"A: " + b"b" * (HEAD_BYTES + PIECE_BYTES),
        HEALTH[:-2] + b"".join(b"A%d: b\r\n" % number for number in range(2000)),
        b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * (MOST_HEADERS + 1) + b"\r\n",
        b"POST /v1/steps HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * MOST_HEADERS + b"\r\n",
    ],
    ids=["url", "one header", "endless headers", "many headers", "many headers of a post"],
)
async def test_a_head_over_the_limit_is_refused(served: Served, head: bytes) -> None:
    async with connected(served) as client:
        client.writer.write(HEALTH + head)
        assert (await client.answer()).status == 200
        answer = await client.answer()
        assert answer.status == 431
        assert answer.body["type"] == "urn:cellar:problem:head_too_large"
        assert answer.headers["connection"] == "close"
        assert await client.ended()


async def test_headers_are_counted_as_they_come(served: Served) -> None:
    """Not when the head is whole: the list of thousands would be made first."""
    async with connected(served) as client:
        client.writer.write(HEALTH[:-2] + b"A: b\r\n" * (MOST_HEADERS + 1))
        assert await slug(client) == (431, "head_too_large")


async def test_what_comes_behind_a_refusal_is_read_slowly(served: Served) -> None:
    """It would be megabytes in a turn of the loop, and they are not wanted."""
    async with connected(served) as client:
        client.writer.write(b"no request\r\n\r\n")
        assert (await client.answer()).status == 400
        service = of_the_service(served, client)
        client.writer.write(b"x" * (1 << 22))
        await until(lambda: service.flow.holding)
        client.writer.transport.abort()


async def test_a_head_within_the_limit_is_read(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(HEALTH[:-2] + b"A: " + b"b" * (HEAD_BYTES - PIECE_BYTES - len(HEALTH)) + b"\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_trailers_over_the_limit_are_refused(served: Served) -> None:
    session = await served.begin()
    head = (
        b"POST /v1/sessions/%s/step HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        % session.encode()
    )
    body = b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    async with connected(served) as client:
        client.writer.write(head + body + b"A: b\r\n" * MOST_TRAILER_BYTES)
        assert await slug(client) == (431, "head_too_large")
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 0


# --- (d) time ---------------------------------------------------------------------------------------------------------


class Clock:
    """The clock of a connection: it goes on by what it is told."""

    def __init__(self, connection: BoundedProtocol) -> None:
        self._connection = connection
        self._loop = connection.loop
        self.ahead_s = 0.0
        connection.loop = self  # type: ignore[assignment]  # replaced for this test

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        """Return the time."""
        return self._loop.time() + self.ahead_s

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        """Call it by the real clock: tests call what is due themselves."""
        return self._loop.call_later(delay_s, call, *arguments)

    def forward(self, seconds: float) -> None:
        """Let time pass, and let it be looked at."""
        self.ahead_s += seconds
        if self._connection._progress_timer is not None:
            self._connection._progress_timer.cancel()
        self._connection._look_at_progress()


@asynccontextmanager
async def begun(served: Served, data: bytes) -> AsyncIterator[tuple[Connection, BoundedProtocol, Clock]]:
    """Yield a connection on which this has come."""
    async with connected(served) as client:
        client.writer.write(data)
        await until(
            lambda: any(one.client == client.writer.get_extra_info("sockname") for one in http_connections(served))
        )
        service = of_the_service(served, client)
        await until(lambda: service._progress_timer is not None)
        yield client, service, Clock(service)


async def test_a_head_that_does_not_come_is_given_up(served: Served) -> None:
    async with begun(served, HEALTH[:-3]) as (client, _, clock):
        clock.forward(9)
        clock.forward(2)
        assert await slug(client) == (408, "request_timeout")
        assert await client.ended()


@pytest.mark.parametrize("path", [b"step", b"sequence", b"fork"])
async def test_a_body_that_comes_too_slowly_is_given_up(served: Served, path: bytes) -> None:
    """By the protocol, by the route, and by the framework; nothing is applied."""
    session = await served.begin()
    head = b"POST /v1/sessions/%s/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % (
        session.encode(),
        path,
    )
    async with begun(served, head + b"Content-Length: 60000\r\n\r\n{") as (client, service, clock):
        clock.forward(19)
        client.writer.write(b" " * 30_000)
        await until(lambda: service.body_bytes == 30_001)
        clock.forward(2)  # so much came in the first 20 s
        client.writer.write(b" " * 10_000)
        await until(lambda: service.body_bytes == 40_001)
        clock.forward(21)  # and too little in those after them
        assert await slug(client) == (408, "request_timeout")
        assert await client.ended()
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 0


async def test_many_late_requests_are_refused_one_after_the_other(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal has a time of its own, and a body that is complete before it is answered."""
    monkeypatch.setattr(bounded, "MOST_SPREAD_S", 1000)
    session, refused_at_s = await served.begin(), set[float]()
    data = request(session, step(1, 2))
    async with begun(served, data[:-1]) as (client, service, clock), begun(served, data[:-1]) as (_, other, its_clock):
        clock.forward(21)
        its_clock.forward(21)
        for late in (service, other):
            assert late._progress_timer is not None
            refused_at_s.add(round(late._progress_timer.when()))
        assert len(refused_at_s) == 2
        client.writer.write(data[-1:])
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("path", [b"/v1/steps", b"/v1/steps/"])
async def test_a_body_that_is_read_part_by_part_may_pause(served: Served, path: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    async with begun(served, head + b"Content-Length: 60000\r\n\r\n{}\n") as (client, service, clock):
        assert await client.reader.readuntil(b"\r\n\r\n")
        clock.forward(301)  # something came in the first five minutes
        clock.forward(299)
        assert not service.transport.is_closing()
        clock.forward(2)
        while await client.reader.read(1 << 16):
            pass


async def test_time_in_which_the_service_does_not_read_does_not_count(served: Served) -> None:
    session = await served.begin()
    head = request(session, step(1, 2))[:-1]
    async with begun(served, head) as (client, service, clock):
        service.flow.hold()
        clock.forward(1000)
        service.flow.resume_socket()
        clock.forward(10)
        client.writer.write(request(session, step(1, 2))[-1:])
        assert (await client.answer()).status == 200


async def test_a_connection_on_which_nothing_comes_is_idle(served: Served) -> None:
    async with connected(served) as client:
        await until(
            lambda: any(one.client == client.writer.get_extra_info("sockname") for one in http_connections(served))
        )
        service = of_the_service(served, client)
        assert service.timeout_keep_alive_task is not None
        service.timeout_keep_alive_task.cancel()
        service.timeout_keep_alive = 0
        service.timeout_keep_alive_handler()
        assert await client.ended()


# --- (d) connections --------------------------------------------------------------------------------------------------


async def test_connections_over_the_limit_are_turned_away(settings: Settings) -> None:
    async with serving(with_own_keys(settings, max_connections=3)) as served:
        async with connected(served) as first, connected(served) as second:
            for client in (first, second):
                client.writer.write(HEALTH)
                assert (await client.answer()).status == 200
            async with connected(served) as third:  # the test's own client has one too
                third.writer.write(HEALTH)
                answer = await third.answer()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert answer.body["outcome"] == "not_applied"
                assert await third.ended()
            first.writer.write(HEALTH)
            assert (await first.answer()).status == 200
        await until(lambda: len(served.server.server_state.connections) < 3)
        async with connected(served) as later:
            later.writer.write(HEALTH)
            assert (await later.answer()).status == 200
