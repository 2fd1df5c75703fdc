"""Messages in fragments, which the library's parser puts together, are answered as whole ones are."""

import json
import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from benchmarks.frames import pack_steps, unpack_answers
from cellar.wire.frames import frames
from tests.api.websocket.conftest import Served, Stream

POSITION = re.compile("[0-9a-f]{16}[.]([0-9]+)[.][0-9a-f]{32}")

pytestmark = pytest.mark.anyio


def _shown(answer: str | bytes) -> list[Any]:
    if isinstance(answer, str):
        return [json.loads(POSITION.sub(r"\1", answer))]
    return [
        (one.tag, one.status, one.position and one.position[1], one.outputs, POSITION.sub(r"\1", one.problem.decode()))
        for one in unpack_answers(answer)
    ]


async def told(stream: Stream, said: list[Any]) -> list[Any]:
    """Return what is answered to messages that are sent at once, until the stream ends; positions by their steps."""
    await stream.receive()
    for message in said:
        await stream.socket.send(message)
    answers: list[Any] = []
    with suppress(ConnectionClosed):
        while True:
            answers += _shown(await stream.socket.recv())
    return [*answers, stream.socket.close_code, stream.socket.close_reason]


def in_fragments(message: str | bytes) -> Any:
    """Return a message in three fragments, the last of which is empty."""
    middle = len(message) // 2
    return [message[:middle], message[middle:]]


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
        pack_steps([frames.Step("", A_STEP, tag=tag) for tag in range(40)]),
        pack_steps([frames.Step("", A_STEP[:, :, :1], tag=50), frames.Step("", A_STEP, step=0, tag=51)]),
        '{"input": [1, 2], "step": 3}',
    ],
    ['{"input": [1, 2], "step": 7}'],
    [b"Cell"],
    [b""],
]


@pytest.mark.parametrize("said", TALKS, ids=["text", "frames", "conflict", "no frame", "empty"])
async def test_fragments_are_answered_as_whole_messages(served: Served, said: list[str | bytes]) -> None:
    found = []
    for messages in (said, [*map(in_fragments, said)]):
        async with served.stream(await served.begin()) as stream:
            found.append(await told(stream, messages))
    np.testing.assert_equal(found[1], found[0])
