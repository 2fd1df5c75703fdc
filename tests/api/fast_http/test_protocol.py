"""Plain steps that the protocol answers by itself: on real sockets, in pieces, in a row, and cut off."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import orjson
import pytest

from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.websocket.connection.interface import TEXT
from cellar.errors import Overloaded
from cellar.sessions.requests.request import PendingSteps
from cellar.settings import Settings
from cellar.wire.arrays import npy
from tests.api.conftest import with_own_keys
from tests.api.connections import RESULT, connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


def timer_of(connection: StepProtocol) -> asyncio.TimerHandle | None:
    return connection.timeout_keep_alive_task


async def test_a_step_that_comes_byte_by_byte(served: Served) -> None:
    session = await served.begin()
    async with connected(served) as client:
        for byte in request(session, step(1, 2)):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        answer = await client.answer()
    assert (answer.status, answer.body["step"]) == (200, 1)
    assert answer.headers["content-type"] == "application/json"


async def test_steps_in_a_row_are_answered_in_their_order(served: Served) -> None:
    """Pipelined, mixed with requests that go the ordinary way, and with one that is refused."""
    session = await served.begin()
    health = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
    async with connected(served) as client:
        client.writer.write(
            request(session, step(1, 2))
            + request(session, step(1, 2))
            + health
            + request(session, b"{")
            + request(session, step(1, 2), b"Cellar-Timeout-Ms: 60000")
            + request(session, step(1, 2))
        )
        found = [await client.answer() for _ in range(6)]
    assert [answer.status for answer in found] == [200, 200, 200, 400, 200, 200]
    assert [answer.body.get("step") for answer in found] == [1, 2, None, None, 3, 4]


async def test_a_connection_is_for_any_session_and_any_request(served: Served) -> None:
    """Heads that it has seen before, with others between them."""
    sessions = [await served.begin() for _ in range(2)]
    array = npy.dump(np.array([1, 2], np.float32))
    found = []
    async with connected(served) as client:
        for data in (
            request(sessions[0], step(1, 2)),
            request(sessions[1], step(1.5, 2.25)),
            request(sessions[0], step(1, 2), b"Idempotency-Key: one"),
            request(sessions[0], step(1, 2), b"Idempotency-Key: one"),
            request(sessions[0], step(1, 2), b"Idempotency-Key: two"),
            request(sessions[0], step(1, 2), b"Idempotency-Key: two"),
            request(sessions[0], step(1, 2), b"Origin: http://test"),
            request(sessions[0], step(1, 2)),
            request("nobody", step(1, 2)),
            request(sessions[1], step(1, 2, 3)),
            request(sessions[1], array, kind=npy.MEDIA_TYPE),
            request(sessions[1], array, kind=npy.MEDIA_TYPE),
            request(sessions[1], array, b"Cellar-Timeout-Ms: 0", kind=npy.MEDIA_TYPE),
            request(sessions[1], step(1, 2)),
        ):
            client.writer.write(data)
            found.append(await client.answer())
    assert [answer.status for answer in found] == [200] * 8 + [404, 422, 200, 200, 422, 200]
    assert [answer.body["step"] for answer in found if answer.status == 200] == [1, 1, 2, 2, 3, 3, 4, 5, 2, 3, 4]
    assert [at for at in range(8) if "idempotent-replayed" in found[at].headers] == [3, 5]
    assert found[9].body["pointer"] == "/input"


async def test_a_new_connection_knows_the_head_that_others_send(served: Served) -> None:
    session, found = await served.begin(), []
    async with connected(served) as first:
        for _ in range(2):
            first.writer.write(request(session, step(1, 2)))
            found.append(await first.answer())
    async with connected(served) as second:
        second.writer.write(request(session, step(1, 2)))
        found.append(await second.answer())
        assert of_the_service(served, second)._form is None, "the parser has read no head"
        second.writer.write(request(session, step(1, 2), b"Idempotency-Key: one"))
        found.append(await second.answer())
    assert [(answer.status, answer.body["step"]) for answer in found] == [(200, 1), (200, 2), (200, 3), (200, 4)]


async def test_arrays_are_answered_as_by_the_ordinary_way(served: Served) -> None:
    """The same head, asked of the protocol and, with an Origin besides, of the application."""
    array = npy.dump(np.arange(6, dtype=np.float32).reshape(3, 2))
    answers = []
    for more in ((), (b"Origin: http://test",)):
        session = await served.begin()
        async with connected(served) as client:
            for path in ("sequence", "sequence?layout=TF&step=3", "sequence?layout=TF&step=3", "sequence?layout=T"):
                data = request(session, array, b"Accept: application/x-npy", *more, kind=npy.MEDIA_TYPE, path=path)
                client.writer.write(data)
                answers.append(await client.raw())
    for (plain, content), (ordinary, expected) in zip(answers[:4], answers[4:], strict=True):
        assert content == expected
        assert (plain.pop("x-request-id", "") == "") == (ordinary.pop("x-request-id", "") == "")
        epoch_of = "cellar-position"
        assert {**plain, epoch_of: ""} == {**ordinary, epoch_of: "", "date": plain["date"]}
    assert [int(plain.get("cellar-step", 0)) for plain, _ in answers[:4]] == [3, 6, 6, 0]


async def test_a_connection_ends_where_the_client_says_so(served: Served) -> None:
    session = await served.begin()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2), b"Connection: close"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.ended()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2), version=b"1.0"))
        assert (await client.answer()).body["step"] == 2
        assert await client.ended()


async def test_a_body_that_has_no_length_goes_the_ordinary_way(served: Served) -> None:
    session, body = await served.begin(), step(1, 2)
    head = b"POST /v1/sessions/%s/step HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" % session.encode()
    async with connected(served) as client:
        client.writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert (await client.answer()).body["step"] == 1
        client.writer.write(request(session, body, b"Expect: 100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.answer()).body["step"] == 2


@pytest.mark.parametrize("steps", [1, 3])
async def test_a_connection_that_becomes_a_stream_repeats_no_step(served: Served, steps: int) -> None:
    """The request for that has no cycle of its own, and the last one is that of a step, read in either way."""
    session = await served.begin()
    upgrade = (
        b"GET /v1/sessions/%s/stream HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % session.encode()
    )
    async with connected(served) as client:
        for _ in range(steps):
            client.writer.write(request(session, step(1, 2)))
            await client.answer()
        client.writer.write(upgrade)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        kind, size = await client.reader.readexactly(2)
        assert (kind, size) == (TEXT, 126)
        greeting = orjson.loads(await client.reader.readexactly(int.from_bytes(await client.reader.readexactly(2))))
    assert greeting["step"] == steps
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == steps


async def test_a_client_that_goes_away_harms_no_other(served: Served) -> None:
    session = await served.begin()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2))[:-3])
        await client.writer.drain()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        await client.writer.drain()
        client.writer.transport.abort()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        assert (await client.answer()).body["step"] in (1, 2)


async def test_a_repetition_says_so(served: Served) -> None:
    session, body = await served.begin(), orjson.dumps({"input": [1, 2], "step": 0})
    async with connected(served) as client:
        client.writer.write(request(session, body) * 2)
        first, second = await client.answer(), await client.answer()
    assert first.body == second.body
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.pure
async def test_who_is_to_come_again_is_told_when(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await served.begin()

    def full(*_: object, **__: object) -> None:
        raise Overloaded("too many", retry_after_s=7)

    monkeypatch.setattr(served.app.state.services.sessions.steps, "submit", full)
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        answer = await client.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


@pytest.mark.pure
async def test_a_refusal_does_not_let_the_next_request_run_out_of_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn closes a connection on which nothing happens; an answer that is waited for is something."""
    session = await served.begin()
    steps = served.app.state.services.sessions.steps
    begun, submit = asyncio.Event(), steps.submit

    def noting(*arguments: Any, **more: Any) -> Any:
        begun.set()
        return submit(*arguments, **more)

    monkeypatch.setattr(steps, "submit", noting)
    async with connected(served) as client:
        client.writer.write(request(session, b"{") + request(session, step(1, 2)))
        await begun.wait()
        connection = of_the_service(served, client)
        assert connection.idle_since_s is None
        assert [(await client.answer()).status for _ in range(2)] == [400, 200]
        assert connection.idle_since_s is not None


@pytest.mark.pure
async def test_only_a_connection_that_is_idle_all_the_time_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its timer goes off."""
    session = await served.begin()
    pending = PendingSteps()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        await client.answer()
        connection = of_the_service(served, client)
        timer = timer_of(connection)
        client.writer.write(request(session, step(1, 2)))
        await client.answer()
        assert timer_of(connection) is timer is not None
        timer.cancel()
        connection.timeout_keep_alive_handler()  # too early: it looks again
        assert timer_of(connection) not in (None, timer)
        with monkeypatch.context() as patch:
            patch.setattr(served.app.state.services.sessions.steps, "submit", lambda *_, **__: pending)
            client.writer.write(request(session, step(1, 2)))
            await until(lambda: connection.idle_since_s is None)
        connection.timeout_keep_alive = 0
        connection.timeout_keep_alive_handler()  # something is under way: it leaves it to the answer to begin anew
        assert timer_of(connection) is None
        assert not connection.transport.is_closing()
        pending.finish(RESULT)
        assert (await client.answer()).body["output"] == [0, 0, 0]
        assert await client.ended()


@pytest.mark.pure
async def test_a_fault_of_the_service_is_no_fault_of_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await served.begin()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with connected(served) as client:
        with monkeypatch.context() as patch:
            patch.setattr(served.app.state.services.sessions.steps, "submit", broken)
            client.writer.write(request(session, step(1, 2)))
            answer = await client.answer()
        assert (answer.status, answer.body["type"]) == (500, "urn:cellar:problem:internal_error")
        client.writer.write(request(session, step(1, 2)))
        assert (await client.answer()).body["step"] == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_stopping_service_answers_the_steps_that_it_has(settings: Settings) -> None:
    async with serving(with_own_keys(settings)) as served:
        session = await served.begin()
        async with connected(served) as client:
            client.writer.write(request(session, step(1, 2))[:-1])
            await client.writer.drain()
            served.server.should_exit = True
            await asyncio.sleep(0.3)  # beyond the server's look at it, and the pause before it waits for connections
            client.writer.write(request(session, step(1, 2))[-1:])
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.ended()
