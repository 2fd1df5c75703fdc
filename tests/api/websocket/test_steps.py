"""Steps over a stream are the steps of HTTP: the same answers, the same bits, the same errors."""

from typing import Any

import numpy as np
import pytest

from cellar.errors import Overloaded
from cellar.sessions.requests.admission import Admission
from cellar.wire.frames import frames
from tests.api.websocket.conftest import Served, Stream

pytestmark = pytest.mark.anyio

INPUTS = np.random.default_rng(7).normal(size=(6, 1, 2)).astype(np.float32)


def a_step(index: int, **about: Any) -> frames.Step:
    """Return a step of a frame."""
    return frames.Step(about.pop("session", ""), INPUTS[index : index + 1], tag=index, **about)


async def over_http(served: Served, session: str) -> list[dict[str, Any]]:
    """Return what HTTP answers to the steps."""
    found = []
    for one in INPUTS:
        answer = await served.http.post(f"/v1/sessions/{session}/step", json={"input": one[0].tolist()})
        found.append(dict(answer.json()))
    return found


async def opened(stream: Stream) -> Stream:
    """Return the stream after its greeting."""
    await stream.receive()
    return stream


async def test_it_says_where_the_session_is(served: Served) -> None:
    session = await served.begin(batch_size=2)
    there = (await served.http.get(f"/v1/sessions/{session}")).json()
    async with served.stream(session) as stream:
        assert await stream.receive() == {
            "session": session,
            "model": "gru@1",
            "batch_size": 2,
            "step": 0,
            "position": there["position"],
            "window": 32,
            "durability": "always",
        }


async def test_rows_rest_end_and_begin_anew(served: Served) -> None:
    inputs = np.concatenate([INPUTS[:2], INPUTS[2:4], INPUTS[4:]], axis=1)
    body = {"inputs": inputs.tolist(), "lengths": [2, 1, 2], "reset": [[False], [True]]}
    step = {"input": [inputs[0, 0].tolist(), None, inputs[0, 2].tolist()]}
    some = {"input": inputs[0, [2, 0]].tolist(), "rows": [2, 0]}
    http, json, frame = [await served.begin(batch_size=3) for _ in range(3)]
    expected = [
        (await served.http.post(f"/v1/sessions/{http}/{route}", json=each)).json()
        for route, each in (("sequence", body), ("step", step), ("step", some))
    ]
    async with served.stream(json) as stream:
        await opened(stream)
        for number, each in enumerate((body, step, some), 1):
            name = "outputs" if "inputs" in each else "output"
            answer = await stream.ask(**each, writer="w", seq=number)
            assert answer[name] == expected[number - 1][name]
        again = await stream.ask(**some, writer="w", seq=3)
        assert (again["replayed"], again["output"]) == (True, expected[2]["output"])
    flags = bytes([0, 0, 0, 1, 2, 1]), bytes([0, 2, 0])
    async with served.stream(frame) as stream:
        await opened(stream)
        steps = [
            frames.Step("", inputs, sequence=True, tag=1, row_flags=flags[0]),
            frames.Step("", inputs[:1], tag=2, row_flags=flags[1]),
            frames.Step("", np.ascontiguousarray(inputs[:1, [2, 0]]), tag=3, numbers=[2, 0]),
        ]
        await stream.send_frame(*steps)
        found = await stream.receive_frames(3)
    for record, said in zip(found, expected, strict=True):
        assert record.outputs is not None
        outputs = np.array(said.get("outputs") or [said["output"]], np.float32)
        assert record.outputs.tobytes() == outputs.tobytes()


@pytest.mark.parametrize("many", [False, True])
async def test_json_has_the_bits_of_http(served: Served, many: bool) -> None:
    expected = await over_http(served, await served.begin())
    session = await served.begin()
    named = {"session": session} if many else {}
    async with served.stream(None if many else session) as stream:
        await opened(stream)
        for number, one in enumerate(INPUTS):
            await stream.send(input=one[0].tolist(), id=number, **named)
        for number, answer in enumerate(expected):
            said = await stream.receive()
            assert said.pop("position").split(".")[1] == str(number + 1)
            del answer["position"]
            assert said == {**answer, **named, "id": number, "durability": "always"}


@pytest.mark.parametrize("many", [False, True])
async def test_frames_have_the_bits_of_http(served: Served, many: bool) -> None:
    expected = await over_http(served, await served.begin())
    session = await served.begin()
    async with served.stream(None if many else session) as stream:
        await opened(stream)
        await stream.send_frame(*(a_step(index, session=session if many else "") for index in range(5)))
        await stream.send_frame(a_step(5, session=session))
        answers = await stream.receive_frames(6)
    assert [(answer.tag, answer.status) for answer in answers] == [(index, 200) for index in range(6)]
    for answer, other in zip(answers, expected, strict=True):
        assert answer.position is not None
        assert answer.position[1] == other["step"]
        assert answer.outputs is not None
        assert answer.outputs[0, 0].astype(float).tolist() == other["output"]
    there = (await served.http.get(f"/v1/sessions/{session}")).json()
    assert str(answers[-1].position) == there["position"]


async def test_sequences_rows_and_resets(served: Served) -> None:
    one, other = await served.begin(batch_size=2), await served.begin(batch_size=2)
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("step", {"input": [[1, 2], [3, 4]]}),
        ("sequence", {"inputs": [[[1, 0], [0, 1]], [[2, 0], [0, 2]]], "layout": "BTF"}),
        ("step", {"input": [[1, 1], [1, 1]], "reset": [False, True]}),
    ]
    async with served.stream(one) as stream:
        await opened(stream)
        for path, body in bodies:
            answer = (await served.http.post(f"/v1/sessions/{other}/{path}", json=body)).json()
            said = await stream.ask(**body)
            assert {**said, "position": ""} == {**answer, "position": "", "durability": "always"}
        reset = frames.Step("", np.ones((1, 2, 2), np.float32), reset=b"\0\1")
        await stream.send_frame(reset, frames.Step("", np.ones((3, 2, 2), np.float32), sequence=True))
        first, second = await stream.receive_frames(2)
        assert first.outputs is not None
        assert second.outputs is not None
        assert first.outputs[0, 1].astype(float).tolist() == said["output"][1]
        assert second.outputs.shape == (3, 2, 3)


async def test_a_step_that_is_sent_again_is_replayed(served: Served) -> None:
    session = await served.begin()
    async with served.stream(session) as stream, served.stream(session) as other:
        await opened(stream)
        await opened(other)
        for message in (
            {"input": [1, 2], "step": 0},
            {"input": [2, 2], "key": "k"},
            {"input": [3, 2], "writer": "w", "seq": 1},
        ):
            first = await stream.ask(**message)
            assert await other.ask(**message) == {**first, "replayed": True}
        inputs = np.array([[[3, 2]]], np.float32)
        await other.send_frame(frames.Step("", inputs, writer="w", seq=1))
        (again,) = await other.receive_frames(1)
        assert (again.status, again.replayed) == (200, True)
        assert again.outputs is not None
        assert again.outputs[0, 0].astype(float).tolist() == first["output"]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"input": [1, 2, 3]}, "shape_mismatch", "/input"),
    ({"input": [1, "2"]}, "invalid_input", "/input/1"),
    ({"inputs": [[1, 2], [1]]}, "shape_mismatch", "/inputs/1"),
    ({"input": [1, 2], "stepp": 1}, "invalid_input", "/stepp"),
    ({"input": [1, 2], "position": "here"}, "invalid_input", "/position"),
    ({"input": [1, 2], "writer": "w"}, "invalid_input", "/seq"),
    ({"input": [1, 2], "session": "another"}, "invalid_input", "/session"),
    ({"input": [1, 2], "timeout_ms": 0}, "invalid_input", "/timeout_ms"),
    ({"input": [1, 2], "id": -1}, "invalid_input", "/id"),
    ({"input": [1, 2], "key": "é"}, "invalid_input", "/key"),
    ({"inputt": [1, 2]}, "invalid_input", ""),
    ({"resume": "here"}, "invalid_input", "/resume"),
]


@pytest.mark.parametrize(("message", "name", "pointer"), BAD)
async def test_a_bad_step_is_its_own_error_and_the_stream_goes_on(
    served: Served, message: dict[str, Any], name: str, pointer: str
) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await opened(stream)
        problem = (await stream.ask(**message))["problem"]
        assert (problem["type"], problem.get("pointer"), problem["status"]) == (
            f"urn:cellar:problem:{name}",
            pointer,
            422,
        )
        assert (await stream.ask(input=[1, 2]))["step"] == 1


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (frames.Step("", np.ones((1, 1, 3), np.float32)), "shape_mismatch"),
        (frames.Step("", np.ones((2, 1, 2), np.float32)), "shape_mismatch"),
        (frames.Step("", np.full((1, 1, 2), np.inf, np.float32)), "not_finite"),
        (frames.Step("a/b", np.ones((1, 1, 2), np.float32)), "invalid_input"),
        (frames.Step("another", np.ones((1, 1, 2), np.float32)), "invalid_input"),
        (frames.Step("", np.ones((1, 1, 2), np.float32), key="\n"), "invalid_input"),
        (frames.Step("", np.ones((1, 1, 2), np.float32), reset=b"\2"), "invalid_input"),
        (frames.Step("", np.ones((1, 1, 2), np.float32), timeout_ms=10**9), "invalid_input"),
        (frames.Step("", np.ones((1, 1, 2), np.float32), writer="w"), "invalid_input"),
        (frames.Step("", np.ones((1, 1, 2), np.float32), step=2**60), "regressed"),
    ],
)
async def test_a_bad_step_in_a_frame_is_its_own_error(served: Served, step: frames.Step, name: str) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await opened(stream)
        await stream.send_frame(frames.Step("", np.ones((1, 1, 2), np.float32), tag=1), step._replace(tag=2))
        good, bad = await stream.receive_frames(2)
    assert (good.tag, good.status, bad.tag, bad.position) == (1, 200, 2, None)
    assert f"urn:cellar:problem:{name}".encode() in bad.problem


async def test_several_steps_of_a_frame_are_answered_one_by_one(served: Served) -> None:
    """Also where some were applied before, and those behind come at their heels."""
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send_frame(*[a_step(index, step=index) for index in range(6)])
        first = await stream.receive_frames(6)
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send_frame(*[a_step(index, step=index) for index in range(2, 6)])
        again = await stream.receive_frames(4)
    assert [(one.tag, one.position, one.replayed) for one in again] == [
        (one.tag, one.position, True) for one in first[2:]
    ]
    for known, found in zip(first[2:], again, strict=True):
        assert known.outputs is not None
        assert found.outputs is not None
        assert np.array_equal(known.outputs, found.outputs)


@pytest.mark.pure
@pytest.mark.parametrize("timeout_ms", [0, 60_000], ids=["as one", "each by itself"])
async def test_steps_for_which_there_is_no_room(
    served: Served, monkeypatch: pytest.MonkeyPatch, timeout_ms: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Overloaded("too many")

    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        with monkeypatch.context() as full:
            full.setattr(Admission, "enter", refuse)
            await stream.send_frame(*[a_step(index, step=index, timeout_ms=timeout_ms) for index in range(4)])
            numbered = await stream.receive_frames(4)
            await stream.send_frame(*[a_step(index, timeout_ms=timeout_ms) for index in range(4)])
            appended = await stream.receive_frames(4)
        await stream.send_frame(*[a_step(index, step=index, timeout_ms=timeout_ms) for index in range(4)])
        assert [answer.status for answer in await stream.receive_frames(4)] == 4 * [200]
    names = ["overloaded", *3 * ["not_reached"], *4 * ["overloaded"]]
    for one, name in zip(numbered + appended, names, strict=True):
        assert f"urn:cellar:problem:{name}".encode() in one.problem


async def test_behind_the_step_that_ends_a_stream_none_is_applied(served: Served) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send_frame(*[a_step(index, step=index + 1) for index in range(5)])
        answers = await stream.receive_frames(5)
        for one, name in zip(answers, ["regressed", *4 * ["not_reached"]], strict=True):
            assert f"urn:cellar:problem:{name}".encode() in one.problem
        assert (await stream.end())[0] == 4409
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 0
