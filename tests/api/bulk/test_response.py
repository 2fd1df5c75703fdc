"""Many steps, over a real socket and in the process: answered while they are sent, bounded, no harm to others."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import Message

from benchmarks.frames import pack_steps, unpack_answers
from cellar.api.bulk import replies, window
from cellar.api.bulk.response import BulkResponse
from cellar.api.bulk.window import Window
from cellar.api.decoding.steps import frame_answers
from cellar.api.routes.session.bulk import READERS, WRITERS
from cellar.errors import Overloaded
from cellar.main import create_app
from cellar.ports import ANYBODY, SessionKey, StepCommand
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.service.steps import Steps
from cellar.settings import Settings
from cellar.wire.frames import frames, layout
from cellar.wire.json import lines
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

HEAD = (
    f"POST /v1/steps HTTP/1.1\r\nHost: test\r\nContent-Type: {lines.MEDIA_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LINE = b'{"session": "many", "input": [0.5, 0.25]}\n'
SCOPE = {"type": "http", "method": "POST", "path": "/v1/steps", "headers": []}
INPUT = np.array([[0.5, 0.25]], dtype=np.float32)
KEY, OTHER = SessionKey("default", "many"), SessionKey("default", "other")


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """Yield an application with two sessions."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    app = create_app(with_own_keys(settings))
    async with running(app) as client:
        assert (await client.post("/v1/models", json={"name": "gru", "network": network})).status_code == 201
        for key in (KEY, OTHER):
            await sessions_of(app).create(key.tenant, model="gru", session=key.session)
        yield app


def sessions_of(app: FastAPI) -> Sessions:
    """Return the session service of an application."""
    found: Sessions = app.state.services.sessions
    return found


def chunk(data: bytes) -> bytes:
    """Return a piece of a body whose length was not said."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def line_of(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next line of an answer."""
    while (text := await reader.readline())[:1] != b"{":
        assert text, "the answer ends"
    found: dict[str, Any] = json.loads(text)
    return found


async def test_a_line_is_answered_before_the_next_is_sent(app: FastAPI) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(HEAD.encode())
    for step in range(1, 4):
        writer.write(chunk(LINE))
        assert (await line_of(reader))["step"] == step
    writer.write(chunk(LINE[:10]) + chunk(LINE[10:] + b"{"))
    assert (await line_of(reader))["step"] == 4
    writer.write(chunk(b"}\n") + b"0\r\n\r\n")
    assert (await line_of(reader))["type"] == "urn:cellar:problem:invalid_input"
    await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    server.should_exit = True
    await serving


class Talk:
    """A request in the process: as many lines as are read, and answers that are taken only when they may be."""

    def __init__(self, app: FastAPI, body: Callable[[], Message], media_type: str = lines.MEDIA_TYPE) -> None:
        self.app = app
        self.exchange = BulkResponse(
            sessions_of(app).steps, READERS[media_type](ANYBODY, 1000), WRITERS[media_type](), media_type
        )
        self.read = 0
        self.sent: list[Message] = []
        self.taking = asyncio.Event()
        self._body = body

    async def receive(self) -> Message:
        """Count, and let others run."""
        self.read += 1
        await asyncio.sleep(0)
        return self._body()

    async def send(self, message: Message) -> None:
        """Wait until answers may be taken."""
        await self.taking.wait()
        self.sent.append(message)

    async def run(self) -> None:
        """Answer the request."""
        await self.exchange({**SCOPE, "app": self.app}, self.receive, self.send)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event that is set when a reader has to wait for room, as its writer waits for the client."""
    event, real = asyncio.Event(), Window.room

    async def noting(self: Window, steps: int, size_bytes: int) -> None:
        room = asyncio.ensure_future(real(self, steps, size_bytes))
        await asyncio.sleep(0)
        if not room.done():
            event.set()
        await room

    monkeypatch.setattr(Window, "room", noting)
    return event


async def test_a_client_that_does_not_read_is_not_read_and_delays_no_other(app: FastAPI, full: asyncio.Event) -> None:
    talk = Talk(app, lambda: {"type": "http.request", "body": LINE * 100, "more_body": True})
    task = asyncio.create_task(talk.run())
    await full.wait()
    await talk.exchange.window.settled()
    read = talk.read
    assert read <= window.MOST_STEPS // 100 + 2
    for step in range(1, 4):
        answer = await sessions_of(app).steps.submit(StepCommand(OTHER, INPUT[None]))
        assert answer.position.step == step
    assert (talk.read, talk.sent) == (read, [])
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (await sessions_of(app).steps.submit(StepCommand(KEY, INPUT[None]))).position.step <= window.MOST_STEPS + 1


async def test_who_reads_again_is_read_again(app: FastAPI, full: asyncio.Event) -> None:
    bodies = deque([LINE * 100] * 30)
    talk = Talk(app, lambda: {"type": "http.request", "body": bodies.popleft(), "more_body": bool(bodies)})
    task = asyncio.create_task(talk.run())
    await full.wait()
    talk.taking.set()
    await task
    found = b"".join(message.get("body", b"") for message in talk.sent).splitlines()
    assert [json.loads(line)["step"] for line in found] == [*range(1, 3001)]


async def test_who_goes_away_leaves_the_sessions_in_order(app: FastAPI) -> None:
    bodies: deque[Message] = deque(
        [{"type": "http.request", "body": LINE * 300, "more_body": True}, {"type": "http.disconnect"}]
    )
    talk = Talk(app, bodies.popleft)
    talk.taking.set()
    with pytest.raises(ClientDisconnect):
        await talk.run()
    before = (await sessions_of(app).steps.submit(StepCommand(KEY, INPUT[None]))).position.step
    assert (await sessions_of(app).steps.submit(StepCommand(KEY, INPUT[None]))).position.step == before + 1


@pytest.mark.pure
@pytest.mark.parametrize("media_type", [lines.MEDIA_TYPE, frames.MEDIA_TYPE])
@pytest.mark.parametrize(("owner", "name"), [(Steps, "submit"), (replies, "ANSWER")])
async def test_a_fault_of_the_service_is_the_answer_of_one_step_and_tells_nothing(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, media_type: str, owner: Any, name: str
) -> None:
    if name == "ANSWER":
        monkeypatch.setattr(replies, "_plain_lines", None)  # they cannot be written together
        owner, name = (replies, "document_of") if media_type == lines.MEDIA_TYPE else (frame_answers, "_pack_outputs")
    real, calls = getattr(owner, name), 0

    def broken(*arguments: Any, **others: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in ((1, 2) if name == "_pack_outputs" else (2,)):  # of all together, then of the first by itself
            raise RuntimeError("a secret")
        return real(*arguments, **others)

    body = LINE * 4
    if media_type == frames.MEDIA_TYPE:
        body = pack_steps([frames.Step(KEY.session, INPUT[None], tag=tag) for tag in range(4)])
    monkeypatch.setattr(owner, name, broken)
    bodies: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])
    talk = Talk(app, bodies.popleft, media_type)
    talk.taking.set()
    await talk.run()
    said = b"".join(message.get("body", b"") for message in talk.sent)
    assert b"a secret" not in said
    assert said.count(b"urn:cellar:problem:internal_error") == 1
    if media_type == lines.MEDIA_TYPE:
        assert sum("output" in json.loads(line) for line in said.splitlines()) == 3
    else:
        assert [answer.status == layout.OK for answer in unpack_answers(said)].count(True) == 3
    assert sessions_of(app)._scheduler.admission.waiting == 0


async def test_a_full_service_is_waited_for(settings: Settings) -> None:
    """With room for five steps, a request of many has none refused."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    app = create_app(with_own_keys(settings, queue_limit=5))
    async with running(app) as client:
        await client.post("/v1/models", json={"name": "gru", "network": network})
        await sessions_of(app).create(KEY.tenant, model="gru", session=KEY.session)
        answer = await client.post("/v1/steps", content=LINE * 23, headers={"content-type": lines.MEDIA_TYPE})
        assert [json.loads(line).get("step") for line in answer.content.splitlines()] == [*range(1, 24)]


NUMBERED = {
    "step": lambda number: {"step": number},
    "seq": lambda number: {"writer": "gauge", "seq": number + 1},
}


@pytest.mark.pure
@pytest.mark.parametrize("by", ["step", "seq"])
@pytest.mark.parametrize("media_type", [lines.MEDIA_TYPE, frames.MEDIA_TYPE])
@pytest.mark.parametrize("refused", [0, 2])
async def test_steps_behind_one_that_found_the_service_full_are_not_reached(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, media_type: str, by: str, refused: int
) -> None:
    """Those of another session have nothing to do with it."""
    real = Steps.submit

    def full(self: Steps, command: StepCommand) -> Any:
        identity = command.identity
        if command.session == KEY and refused in (identity.step, (identity.seq or 0) - 1):
            raise Overloaded("too many requests are waiting")
        return real(self, command)

    monkeypatch.setattr(Steps, "submit", full)
    steps = [(KEY, number) for number in range(5)] + [(OTHER, 3)] + [(OTHER, number) for number in range(2)]
    about = [{"session": key.session, **NUMBERED[by](number)} for key, number in steps]
    if media_type == frames.MEDIA_TYPE:
        body = pack_steps([frames.Step(inputs=INPUT[None], tag=tag, **each) for tag, each in enumerate(about)])
    else:
        body = b"".join(json.dumps({"input": [0.5, 0.25], **each}).encode() + b"\n" for each in about)
    bodies: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])
    talk = Talk(app, bodies.popleft, media_type)
    talk.taking.set()
    await talk.run()
    said = b"".join(message.get("body", b"") for message in talk.sent)
    if media_type == frames.MEDIA_TYPE:
        problems = [json.loads(each.problem) if each.problem else {} for each in unpack_answers(said)]
    else:
        problems = [json.loads(line) for line in said.splitlines()]
    told = [each.get("type", "urn:cellar:problem:").removeprefix("urn:cellar:problem:") for each in problems]
    early = "regressed" if by == "step" else "writer_unknown"
    assert told == ["", "", "", "", ""][:refused] + ["overloaded"] + ["not_reached"] * (4 - refused) + [early, "", ""]
    assert (
        f"{'step' if by == 'step' else 'request'} {refused + (by == 'seq')}, before this one" in problems[4]["detail"]
    )
