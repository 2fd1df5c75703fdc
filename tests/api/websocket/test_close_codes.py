"""Every refusal has its code and reason, and a service that stops says where to go on."""

import asyncio
import inspect
import signal
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.frames import pack_answers
from cellar import errors, server
from cellar.api.specs.asyncapi import close_codes
from cellar.api.websocket.close_codes import code_of
from cellar.ports import StepCommand
from cellar.sessions.requests.request import PendingSteps
from cellar.settings import Settings
from cellar.wire.frames import frames
from tests.api.conftest import MAX_BODY_BYTES, with_own_keys
from tests.api.websocket.conftest import Served, Stream, serving, until
from tests.api.websocket.test_floods import raw_stream
from tests.redis_process import RedisProcess

pytestmark = pytest.mark.anyio

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CellarError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code(kind: type[errors.CellarError]) -> None:
    assert code_of(kind) in {1007, 1011, 1013} or 4400 <= code_of(kind) < 4600


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        ("{", 1007, "malformed_json: "),
        ('{"input": [1, 2]', 1007, "malformed_json: "),
        (b"", 1007, "malformed_body: "),
        (b"Cell", 1007, "malformed_body: "),
        (pack_answers([]), 1007, "malformed_body: "),
        (b"C" * (MAX_BODY_BYTES + 1), 1009, "frame"),
        ('{"input": [1, 2], "step": 9}', 4409, "regressed: step 9 came before step 1: the session is at step 1"),
    ],
    ids=["not JSON", "cut off", "empty", "a head", "answers", "too large", "a conflict"],
)
async def test_the_end_of_a_stream_by_a_message(served: Served, said: str | bytes, code: int, reason: str) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        assert (await stream.ask(input=[1, 2]))["step"] == 1
        await stream.socket.send(said)
        found = await stream.end()
    assert (found[0], found[1][: len(reason)]) == (code, reason)
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 1


async def test_what_is_in_flight_before_a_conflict_is_answered(served: Served) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        for number, step in enumerate((0, 1, 1, 3)):
            await stream.send(input=[number, number], step=step)
        said = [await stream.receive() for _ in range(3)]
        assert [answer.get("step") for answer in said] == [1, 2, None]
        assert said[2]["problem"]["type"] == "urn:cellar:problem:step_taken"
        assert (await stream.end())[0] == 4409


async def test_a_path_at_which_there_is_no_stream_is_answered_with_a_problem(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{served.address}/v1/streams"):
            pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert b"/v1/sessions/{session}/stream" in (answer.body or b"")


async def test_a_frame_that_breaks_the_protocol(served: Served) -> None:
    async with raw_stream(served) as (client, _):
        client.writer.write(b"\x83\x80\0\0\0\0")  # of a kind that there is not
        kind, _, *code = await client.reader.readexactly(4)
        assert kind == 0x88
        assert str(int.from_bytes(code)) in close_codes()


async def test_an_unknown_session(served: Served) -> None:
    async with served.stream("nobody") as stream:
        assert await stream.end() == (4404, "session_unknown: there is no session nobody")


async def test_a_session_that_is_deleted_while_it_is_open(served: Served) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        await served.http.delete(f"/v1/sessions/{session}")
        assert (await stream.ask(input=[1, 2]))["problem"]["status"] == 404
        assert (await stream.end())[0] == 4404


async def test_a_session_that_expires_while_it_is_open(settings: Settings, redis_process: RedisProcess) -> None:
    async with serving(with_own_keys(settings, redis_url=redis_process.url)) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            await stream.receive()
            with redis_process.client() as client:  # as Redis does when the time has come
                (record,) = [key for key in client.scan_iter(f"*{session}*") if client.type(key) == b"hash"]
                client.delete(record)
            assert (await stream.ask(input=[1, 2]))["problem"]["type"] == "urn:cellar:problem:session_expired"
            assert (await stream.end())[0] == 4410


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/sessions/s/stream"])
async def test_pages_of_other_sites_are_refused(served: Served, path: str) -> None:
    # an Origin is a text
    async with connect(f"ws://{served.address}{path}", origin="http://elsewhere.example") as socket:  # type: ignore[arg-type]
        code, reason = await Stream(socket).end()
        assert (code, reason.partition(",")[0]) == (4403, "origin_refused: a page of http://elsewhere.example")


async def test_pages_of_the_service_itself_are_not(served: Served) -> None:
    async with served.stream(Origin=f"http://{served.address}") as stream:
        assert (await stream.receive())["window"] == 32


async def test_without_its_store_a_stream_does_not_open(settings: Settings, redis_process: RedisProcess) -> None:
    async with serving(with_own_keys(settings, redis_url=redis_process.url)) as served:
        redis_process.kill()
        async with served.stream("s") as stream:
            code, reason = await stream.end()
        assert (code, reason.partition(":")[0]) == (4503, "store_unavailable")


async def test_a_fault_of_the_service_is_1011(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(served.app.state.services.sessions, "get", fail)
    async with served.stream("s") as stream:
        assert await stream.end() == (1011, "internal_error: the fault is in the log of the service")


@pytest.mark.pure
@pytest.mark.parametrize("good", [0, 1, 33, 40])
async def test_a_fault_of_a_step_is_1011_wherever_it_comes(
    served: Served, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """33 steps more than fill the window: what comes behind waits for room."""
    steps, left = served.app.state.services.sessions.steps, iter(range(good))
    submit = steps.submit

    def fail_at_last(*arguments: Any, **more: Any) -> Any:
        next(left)  # StopIteration is no error of a test
        return submit(*arguments, **more)

    session = await served.begin()
    monkeypatch.setattr(steps, "submit", fail_at_last)
    async with served.stream(session) as stream:
        await stream.receive()
        step = frames.Step("", np.ones((1, 1, 2), np.float32), timeout_ms=60_000)  # so each is submitted by itself
        await stream.send_frame(*[step] * (good + 1))
        assert await stream.end() == (1011, "internal_error: the fault is in the log of the service")


@pytest.mark.pure
async def test_a_fault_that_comes_with_the_answer_is_1011(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, submit = served.app.state.services.sessions.steps, served.app.state.services.sessions.steps.submit

    def submit_and_fail(*arguments: Any, **more: Any) -> Any:
        pending = submit(*arguments, **more)
        pending.finish(RuntimeError("a secret"))
        return pending

    session = await served.begin()
    monkeypatch.setattr(steps, "submit", submit_and_fail)
    async with served.stream(session) as stream, served.stream() as other:
        await stream.receive()
        await other.receive()
        await stream.send(input=[1, 2])
        assert await stream.end() == (1011, "internal_error: the fault is in the log of the service")
        monkeypatch.undo()
        assert (await other.ask(session=session, input=[1, 2]))["step"] in (1, 2)


@pytest.mark.pure
async def test_on_a_socket_of_many_a_fault_is_the_answer_of_one_step(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, submit = served.app.state.services.sessions.steps, served.app.state.services.sessions.steps.submit
    bad, good = await served.begin(), await served.begin()

    def submit_and_fail(command: StepCommand, *arguments: Any) -> Any:
        pending = submit(command, *arguments)
        if command.session.session == bad:
            pending.finish(RuntimeError("a secret"))
        return pending

    monkeypatch.setattr(steps, "submit", submit_and_fail)
    async with served.stream() as stream:
        await stream.receive()
        for number, session in enumerate((good, bad, good, bad)):
            await stream.send(session=session, id=number, input=[1, 2])
        told = {answer["id"]: answer for answer in [await stream.receive() for _ in range(4)]}
    assert [told[number].get("step") for number in range(4)] == [1, None, 2, None]
    assert {told[number]["problem"]["type"] for number in (1, 3)} == {"urn:cellar:problem:internal_error"}
    assert "secret" not in str(told)


@pytest.mark.pure
async def test_a_fault_behind_what_ends_the_stream_does_not_keep_it_open(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is in flight is waited for, but for what will never be answered."""
    steps, held = served.app.state.services.sessions.steps, PendingSteps()
    submit, asked = steps.submit, iter([True, False])

    def submit_and_hold(*arguments: Any, **more: Any) -> Any:
        return submit(*arguments, **more) if next(asked) else held

    session = await served.begin()
    monkeypatch.setattr(steps, "submit", submit_and_hold)
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send(input=[1, 2], step=7)
        await stream.send(input=[1, 2])
        assert (await stream.receive())["problem"]["status"] == 409
        held.finish(RuntimeError("a secret"))
        async with asyncio.timeout(10):
            assert (await stream.end())[0] == 4409


async def test_text_that_is_no_utf8(served: Served) -> None:
    async with served.stream(await served.begin()) as stream:
        await stream.receive()
        await stream.socket.send([b'{"input": [1, "', b'\xff"]}'], text=True)
        code, reason = await stream.end()
    assert (code, reason.partition(":")[0]) == (1007, "malformed_json")


async def test_a_client_that_leaves_properly(served: Served) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.ask(input=[1, 2])
        await stream.socket.close()
        assert stream.socket.close_code == 1000


async def test_stopping_answers_what_is_in_flight_and_says_where_to_resume(
    settings: Settings, redis_process: RedisProcess
) -> None:
    own = with_own_keys(settings, redis_url=redis_process.url)
    async with serving(own) as served:
        session, other = await served.begin(), await served.begin()
        async with served.stream(session) as stream, served.stream() as many, served.stream(other) as idle:
            position = (await idle.receive())["position"]
            await stream.receive()
            await many.receive()
            await stream.ask(input=[0, 0])
            redis_process.signal(signal.SIGSTOP)
            await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32))] * 3)
            await many.send(session=session, input=[1, 2])
            await served.in_flight(4)
            served.server.should_exit = True
            assert await idle.receive() == {"stopping": {other: position}}
            redis_process.signal(signal.SIGCONT)
            answers = await stream.receive_frames(3)
            last = answers[-1].position
            assert last is not None
            assert await stream.receive() == {"stopping": {session: str(last)}}
            assert (await stream.end())[0] == 1012
            mine = await many.receive()
            assert await many.receive() == {"stopping": {session: mine["position"]}}
            assert await many.end() == (1012, "stopping: connect again and resume")
            assert await idle.end() == (1012, "stopping: connect again and resume")
    async with serving(own) as served, served.stream(session) as stream:
        assert (await stream.receive())["step"] == 5


@pytest.mark.pure
@pytest.mark.parametrize("good", [0, 1])
async def test_a_fault_of_several_steps_is_1011(served: Served, monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    steps, left = served.app.state.services.sessions.steps, iter(range(good))
    submit = steps.submit

    def fail_at_last(*arguments: Any, **more: Any) -> Any:
        next(left)
        return submit(*arguments, **more)

    session = await served.begin()
    monkeypatch.setattr(steps, "submit", fail_at_last)
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32))] * 40)
        assert await stream.end() == (1011, "internal_error: the fault is in the log of the service")


async def test_a_client_that_has_vanished_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PING_S", 0.5)
    async with serving(with_own_keys(settings)) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            await stream.receive()
            stream.socket.transport.pause_reading()
            steps = [frames.Step("", np.ones((1, 1, 2), np.float32))] * 8
            streams = served.app.state.streams
            with suppress(ConnectionClosed):
                while True:  # until answers fill all buffers, and no ping is answered
                    await stream.send_frame(*steps)
                    await asyncio.sleep(0)
            await until(lambda: not streams.sockets)
        there = (await served.http.get(f"/v1/sessions/{session}")).json()
        assert there["step"] >= len(steps)
