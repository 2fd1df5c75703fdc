"""Streams under a server that knows messages of ASGI alone say what they say under ours."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ConnectionClosed

from cellar import server
from cellar.api.websocket.connection.asgi import AsgiConnection
from cellar.settings import Settings
from cellar.wire.frames import frames
from tests.api.conftest import MAX_BODY_BYTES, with_own_keys
from tests.api.websocket.conftest import Served, Stream, serving, until
from tests.redis_process import RedisProcess

POSITION = re.compile("[0-9a-f]{16}[.]([0-9]+)[.][0-9a-f]{32}")

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def plain(settings: Settings) -> AsyncIterator[Served]:
    """Yield a service under uvicorn's own protocol."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "StreamProtocol", WebSocketsSansIOProtocol)
        async with serving(with_own_keys(settings)) as served:
            yield served


def _shown(answer: str | bytes) -> list[Any]:
    if isinstance(answer, str):
        return [json.loads(POSITION.sub(r"\1", answer))]
    return [
        (one.tag, one.status, one.position and one.position[1], one.outputs, POSITION.sub(r"\1", one.problem.decode()))
        for one in frames.unpack_answers(answer)
    ]


async def told(stream: Stream, said: list[str | bytes]) -> list[Any]:
    """Return what is answered to messages that are sent at once, until the stream ends; positions by their steps."""
    await stream.hear()
    for message in said:
        await stream.socket.send(message)
    answers: list[Any] = []
    with suppress(ConnectionClosed):
        while True:
            answers += _shown(await stream.socket.recv())
    return [*answers, stream.socket.close_code, stream.socket.close_reason]


A_STEP = np.ones((1, 1, 2), np.float32)
LONG = json.dumps({"inputs": [[0.5, 0.25]] * 1000, "id": 7, "key": "x" * 100}).ljust(70_000)

TALKS: list[list[str | bytes]] = [
    [
        '{"input": [1, 2]}',
        '{"input": [1, 2], "id": 4294967295, "writer": "w", "seq": 1}',
        '{"input": [1, 2], "writer": "w", "seq": 1}',
        '{"inputs": [[1, 2], [3, 4]], "id": 1, "session": null}',
        '{"input": [1, "2"], "id": 2, "step": 4}',
        '{"input": [1, 2], "id": 3, "step": 5}',
        '{"input": [1, 2, 3]}',
        '{"input": [1, 2], "input": [1, 2]}',
        '{"input": [1e400, 2]}',
        '{"inputt": [1, 2]}',
        "[]",
        '{"resume": "here", "writer": "w"}',
        LONG,
        '{"input": [1, 2], "timeout_ms": 60000}',
        "{",
        '{"input": [1, 2], "id": 99}',
    ],
    [
        frames.pack_steps([frames.Step("", A_STEP, tag=tag) for tag in range(40)]),
        frames.pack_steps([frames.Step("", A_STEP[:, :, :1], tag=50), frames.Step("", A_STEP, step=0, tag=51)]),
        '{"input": [1, 2], "step": 3}',
    ],
    ['{"input": [1, 2], "step": 7}'],
    [b"Cell"],
    [b""],
    [frames.pack_steps([]), b"C" * (MAX_BODY_BYTES + 1)],
]


@pytest.mark.parametrize("said", TALKS, ids=["text", "frames", "conflict", "no frame", "empty", "too large"])
async def test_both_ways_say_the_same(served: Served, plain: Served, said: list[str | bytes]) -> None:
    found = []
    for one in (served, plain):
        async with one.stream(await one.begin()) as stream:
            found.append(await told(stream, said))
    np.testing.assert_equal(found[1], found[0])


async def test_it_is_the_other_way(plain: Served) -> None:
    async with plain.stream() as stream:
        await stream.hear()
        (socket,) = plain.app.state.streams.sockets
        assert isinstance(socket._connection, AsgiConnection)
    await until(lambda: not plain.app.state.streams.sockets)


async def test_a_service_that_stops_says_where_to_resume(
    settings: Settings, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "StreamProtocol", WebSocketsSansIOProtocol)
    async with serving(with_own_keys(settings, redis_url=redis_process.url)) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            await stream.hear()
            await stream.ask(input=[0, 0])
            redis_process.signal(signal.SIGSTOP)
            await stream.say(input=[1, 2])
            await served.in_flight(1)
            served.server.should_exit = True
            redis_process.signal(signal.SIGCONT)
            answer = await stream.hear()
            assert await stream.hear() == {"stopping": {session: answer["position"]}}
            assert (await stream.end())[0] == 1012


async def test_a_client_that_reads_no_answers_is_read_no_more(plain: Served) -> None:
    session = await plain.begin()
    inputs, sent = np.ones((1000, 1, 2), np.float32), 0
    async with plain.stream(session) as stream:
        await stream.hear()
        stream.socket.transport.pause_reading()
        while not stream.socket.transport.get_write_buffer_size():
            await stream.say_frame(frames.Step("", inputs, sequence=True))
            sent += 1
            await asyncio.sleep(0.001)
        stream.socket.transport.resume_reading()
        answers = await stream.hear_frames(sent)
    assert [answer.position[1] for answer in answers if answer.position] == [*range(1000, 1000 * sent + 1, 1000)]
