"""A stream whose connection drops goes on where it was, wherever that happened."""

import asyncio
from typing import Any

import numpy as np
import pytest

from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import Served, Stream, serving

pytestmark = pytest.mark.anyio

INPUTS = [[float(number), float(number % 3)] for number in range(8)]


async def whole(served: Served, count: int = len(INPUTS)) -> list[list[float]]:
    """Return the outputs of the first inputs, from a session of their own."""
    session = await served.begin()
    answer = await served.http.post(f"/v1/sessions/{session}/sequence", json={"inputs": INPUTS[:count]})
    return list(answer.json()["outputs"])


async def missed(stream: Stream, position: str, writer: str | None = None) -> list[dict[str, Any]]:
    """Return what was committed after a position."""
    await stream.send(resume=position, **({} if writer is None else {"writer": writer}))
    found = []
    while "resumed" not in (said := await stream.receive()):
        found.append(said)
    assert said["position"] == (found[-1]["position"] if found else position)
    return found


@pytest.mark.parametrize("received", range(len(INPUTS) + 1))
async def test_after_a_drop_every_step_is_there_once(served: Served, received: int) -> None:
    session = await served.begin()
    outputs: dict[int, list[float]] = {}
    async with served.stream(session) as stream:
        position = (await stream.receive())["position"]
        for number, one in enumerate(INPUTS, 1):
            await stream.send(input=one, writer="w", seq=number, id=number)
        for _ in range(received):
            answer = await stream.receive()
            outputs[answer["id"]], position = answer["output"], answer["position"]
        stream.drop()
    async with served.stream(session) as stream:
        await stream.receive()
        for lost in await missed(stream, position, "w"):
            assert lost["replayed"]
            outputs[lost["seq"]] = lost["output"]
        for number in range(len(outputs) + 1, len(INPUTS) + 1):
            answer = await stream.ask(input=INPUTS[number - 1], writer="w", seq=number)
            outputs[number] = answer["output"]
    assert [outputs[number] for number in sorted(outputs)] == await whole(served)
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == len(INPUTS)


async def test_changes_of_every_kind_are_told(served: Served) -> None:
    session = await served.begin(batch_size=2)
    rows = [[1, 2], [3, 4]]
    async with served.stream(session) as stream:
        position = (await stream.receive())["position"]
        step = await stream.ask(input=rows, writer="w", seq=1)
        sequence = await stream.ask(inputs=[rows, rows])
        await served.http.post(f"/v1/sessions/{session}/reset")
        last = await stream.ask(input=rows, writer="v", seq=1)
        found = await missed(stream, position, "w")
        assert found[0] == {**step, "replayed": True, "writer": "w", "seq": 1}
        assert found[1] == {**sequence, "replayed": True}
        assert (found[2]["changed"], found[2]["step"]) == (True, 0)
        assert found[3] == {**last, "replayed": True}
        assert await missed(stream, sequence["position"]) == [{**each, "replayed": True} for each in found[2:]]
        assert await missed(stream, last["position"]) == []


async def test_outputs_that_were_too_large_to_keep_are_null(settings: Settings) -> None:
    small = with_own_keys(settings).model_copy(update={"replay_output_bytes": 12})
    async with serving(small) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            position = (await stream.receive())["position"]
            await stream.ask(input=INPUTS[0])
            await stream.ask(inputs=INPUTS[:2])
            first, second = await missed(stream, position)
            assert first["output"] == (await whole(served, 1))[0]
            assert second["outputs"] is None


async def test_what_is_too_long_ago_is_refused(settings: Settings) -> None:
    narrow = with_own_keys(settings).model_copy(update={"replay_window": 2})
    async with serving(narrow) as served:
        session = await served.begin()
        async with served.stream(session) as stream:
            positions = [(await stream.receive())["position"]]
            positions += [(await stream.ask(input=one))["position"] for one in INPUTS[:3]]
            assert len(await missed(stream, positions[1])) == 2
            assert (await stream.ask(resume=positions[0]))["problem"]["type"].endswith(":replay_expired")
            assert await stream.end() == (4409, "replay_expired: step 0 is older than what can be replayed")


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"epoch": "0" * 16}, "epoch_changed"),
        ({"digest": "0" * 32}, "diverged"),
        ({"step": "9"}, "regressed"),
    ],
)
async def test_a_position_that_never_was_is_refused(served: Served, other: dict[str, str], name: str) -> None:
    session = await served.begin()
    async with served.stream() as stream:
        await stream.receive()
        position = (await stream.ask(session=session, input=INPUTS[0]))["position"]
        parts = dict(zip(("epoch", "step", "digest"), position.split("."), strict=True))
        answer = await stream.ask(session=session, resume=".".join((parts | other).values()))
        assert (answer["session"], answer["problem"]["type"]) == (session, f"urn:cellar:problem:{name}")
        assert (await stream.ask(session=session, input=INPUTS[1]))["step"] == 2


async def test_two_writers_on_two_sockets_share_a_session(served: Served) -> None:
    session = await served.begin()

    async def write(writer: str) -> list[dict[str, Any]]:
        async with served.stream(session) as stream:
            await stream.receive()
            for number in range(1, 13):
                await stream.send(input=[number, ord(writer)], writer=writer, seq=number, id=number)
            return [await stream.receive() for _ in range(12)]

    both = await asyncio.gather(write("a"), write("b"))
    for answers in both:
        assert [answer["id"] for answer in answers] == [*range(1, 13)]
        assert [answer["step"] for answer in answers] == sorted(answer["step"] for answer in answers)
    history = sorted(
        (answer["step"], answer["id"], writer) for answers, writer in zip(both, "ab", strict=True) for answer in answers
    )
    assert [step for step, _, _ in history] == [*range(1, 25)]
    other = await served.begin()
    inputs = [[number, ord(writer)] for _, number, writer in history]
    answer = (await served.http.post(f"/v1/sessions/{other}/sequence", json={"inputs": inputs})).json()
    said = {answer["step"]: answer["output"] for answers in both for answer in answers}
    assert np.array_equal([said[step] for step in sorted(said)], answer["outputs"])
