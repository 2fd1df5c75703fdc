"""A bounded window, whatever the client does: it is read no faster than it is answered, and harms no other client."""

import asyncio
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest

from cellar.api.websocket import in_flight, replies
from cellar.settings import Settings
from cellar.wire.frames import frames
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import Served, serving, until
from tests.redis_process import RedisProcess

pytestmark = pytest.mark.anyio

WINDOW = 4


@pytest.fixture
async def narrow(settings: Settings, redis_process: RedisProcess) -> AsyncIterator[Served]:
    """Yield a server with a small window, on a Redis that the test may stop."""
    own = with_own_keys(settings).model_copy(update={"replay_window": WINDOW, "redis_url": redis_process.url})
    async with serving(own) as served:
        yield served


async def test_no_more_steps_are_read_than_can_be_replayed(narrow: Served, redis_process: RedisProcess) -> None:
    one, other = await narrow.begin(), await narrow.begin()
    async with narrow.stream(one) as stream, narrow.stream() as many:
        await stream.receive()
        await many.receive()
        await stream.ask(input=[0, 0])  # the session is known from here on: what follows waits for the commit alone
        redis_process.signal(signal.SIGSTOP)
        for _ in range(3):
            await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32))] * WINDOW)
        await narrow.in_flight(WINDOW)
        await many.send(session=other, input=[1, 2])
        await narrow.in_flight(WINDOW + 1)  # by now the service has read all that it would of the first
        redis_process.signal(signal.SIGCONT)
        answers = await stream.receive_frames(3 * WINDOW)
        assert [answer.position[1] for answer in answers if answer.position] == [*range(2, 3 * WINDOW + 2)]
        assert (await many.receive())["step"] == 1


async def test_a_client_that_reads_no_answers_is_read_no_more(narrow: Served) -> None:
    slow, quick = await narrow.begin(), await narrow.begin()
    inputs = np.ones((1000, 1, 2), np.float32)
    sent = 0
    async with narrow.stream(slow) as stream, narrow.stream(quick) as other:
        await stream.receive()
        await other.receive()
        stream.socket.transport.pause_reading()

        async def fill() -> None:
            nonlocal sent
            while True:
                await stream.send_frame(frames.Step("", inputs, sequence=True))
                sent += 1

        filling = asyncio.create_task(fill())
        while not stream.socket.transport.get_write_buffer_size():  # the system's buffers, both ways, take some more
            assert (await other.ask(input=[1, 2]))["step"]
        assert (await other.ask(input=[1, 2]))["step"]
        assert all(socket.in_flight.count <= WINDOW for socket in narrow.app.state.streams.sockets)
        filling.cancel()
        stream.socket.transport.resume_reading()
        answers = await stream.receive_frames(sent)
        assert [answer.position[1] for answer in answers if answer.position] == [*range(1000, 1000 * sent + 1, 1000)]


async def test_who_vanishes_is_let_go_at_once_and_his_steps_are_applied(
    narrow: Served, redis_process: RedisProcess
) -> None:
    session = await narrow.begin()
    async with narrow.stream(session) as stream:
        await stream.receive()
        await stream.ask(input=[0, 0])
        redis_process.signal(signal.SIGSTOP)
        await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32))] * WINDOW)
        await narrow.in_flight(WINDOW)
        stream.drop()
        await until(lambda: not narrow.app.state.streams.sockets)
        redis_process.signal(signal.SIGCONT)
    async with narrow.stream(session) as stream:
        await stream.receive()
        assert (await stream.ask(input=[1, 2]))["step"] == WINDOW + 2


async def test_many_sessions_in_one_frame(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "SOCKET_WINDOW", 7)
    sessions = [await served.begin() for _ in range(10)]
    inputs = np.random.default_rng(1).normal(size=(30, 1, 1, 2)).astype(np.float32)
    async with served.stream() as stream:
        await stream.receive()
        steps = [frames.Step(sessions[tag % 10], inputs[tag], tag=tag) for tag in range(30)]
        await stream.send_frame(*steps)
        answers = {answer.tag: answer for answer in await stream.receive_frames(30)}
    for index, session in enumerate(sessions):
        mine = [answers[tag] for tag in range(index, 30, 10)]
        assert [answer.position[1] for answer in mine if answer.position] == [1, 2, 3]
        there = (await served.http.get(f"/v1/sessions/{session}")).json()
        last = mine[-1].position
        assert last is not None
        assert there["position"] == str(last)


async def test_steps_of_another_session_are_refused_however_many(narrow: Served) -> None:
    mine, other = await narrow.begin(), await narrow.begin()
    async with narrow.stream(mine) as stream:
        await stream.receive()
        await stream.send_frame(*[frames.Step(other, np.ones((1, 1, 2), np.float32))] * (2 * WINDOW + 1))
        answers = await stream.receive_frames(2 * WINDOW + 1)
    assert [answer.status for answer in answers] == [422] * (2 * WINDOW + 1)
    for session in (mine, other):
        assert (await narrow.http.get(f"/v1/sessions/{session}")).json()["step"] == 0


async def test_a_burst_larger_than_the_queue_of_the_service_comes_in_parts(settings: Settings) -> None:
    async with serving(with_own_keys(settings).model_copy(update={"queue_limit": 5})) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            await stream.receive()
            await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32), step=step) for step in range(23)])
            answers = await stream.receive_frames(23)
        assert [answer.position[1] for answer in answers if answer.position] == [*range(1, 24)]
        assert served.app.state.services.sessions._scheduler.admission.waiting == 0


async def test_long_answers_are_encoded_beside_others_and_keep_their_order(
    narrow: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PROMPT_BYTES", 1000)
    session, inputs = await narrow.begin(), [[0.25, 0.5]] * 100
    expected = (await narrow.http.post(f"/v1/sessions/{await narrow.begin()}/sequence", json={"inputs": inputs})).json()
    async with narrow.stream(session) as stream:
        await stream.receive()
        for number in range(8):
            await stream.send(id=2 * number, inputs=inputs)
            await stream.send(id=2 * number + 1, input=[0, 1])
        answers = [await stream.receive() for _ in range(16)]
        assert [answer["id"] for answer in answers] == [*range(16)]
        assert [answer["step"] for answer in answers[:3]] == [100, 101, 201]
        assert answers[0]["outputs"] == expected["outputs"]
        await stream.send(resume=answers[-1]["position"])
        assert (await stream.receive())["resumed"] == answers[-1]["position"]
