"""Many sessions in one request: the bits of single requests, in every form, and each step a fault of its own."""

import gzip
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.frames import pack_steps, unpack_answers, unpack_problem
from cellar.api.bulk.requests import MOST_FAULTS
from cellar.wire.frames import frames, layout
from cellar.wire.frames.frames import Step
from cellar.wire.frames.splitter import FrameSplitter
from cellar.wire.json import lines
from tests.api.conftest import MAX_BODY_BYTES

pytestmark = pytest.mark.anyio

LINES, FRAMES = lines.MEDIA_TYPE, frames.MEDIA_TYPE
INPUTS = np.random.default_rng(2).standard_normal((7, 2)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
async def model(client: httpx.AsyncClient) -> None:
    """Create a model."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    assert (await client.post("/v1/models", json={"name": "gru", "network": network})).status_code == 201


async def begin(client: httpx.AsyncClient, rows: int = 1) -> str:
    """Return the name of a new session."""
    name = uuid.uuid4().hex
    body = {"session": name, "model": "gru", "batch_size": rows}
    assert (await client.post("/v1/sessions", json=body)).status_code == 201
    return name


async def send(
    client: httpx.AsyncClient, content: bytes | AsyncIterator[bytes], kind: str = LINES, **headers: str
) -> httpx.Response:
    """Post to /v1/steps."""
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await client.post("/v1/steps", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def send_lines(client: httpx.AsyncClient, asked: Sequence[dict[str, Any] | bytes], **headers: str) -> list[Any]:
    """Send lines and return those that came back."""
    content = b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in asked)
    answer = await send(client, content, **headers)
    assert answer.headers["content-type"] == LINES
    return [json.loads(line) for line in answer.content.splitlines()]


async def send_frames(client: httpx.AsyncClient, *asked: Sequence[Step], **headers: str) -> list[frames.Answer]:
    """Send frames and return all answers."""
    answer = await send(client, b"".join(map(pack_steps, asked)), FRAMES, **headers)
    assert answer.headers["content-type"] == FRAMES
    return read_frames(answer.content)


def read_frames(content: bytes) -> list[frames.Answer]:
    """Return the answers of all frames of a body."""
    splitter = FrameSplitter(1 << 30)
    found = [answer for frame in splitter.feed(content) for answer in unpack_answers(frame)]
    splitter.end()
    return found


def slug(problem: dict[str, Any]) -> str:
    """Return the name of a problem."""
    return str(problem["type"]).removeprefix("urn:cellar:problem:")


@pytest.fixture(scope="module")
async def expected(client: httpx.AsyncClient) -> list[list[float]]:
    """Return the outputs of single requests in JSON."""
    path = f"/v1/sessions/{await begin(client)}"
    return [(await client.post(f"{path}/step", json={"input": row.tolist()})).json()["output"] for row in INPUTS]


async def test_lines_have_the_bits_of_single_requests(client: httpx.AsyncClient, expected: list[list[float]]) -> None:
    names = [await begin(client) for _ in range(3)]
    asked = [{"session": name, "input": row.tolist()} for row in INPUTS for name in names]
    for headers in ({}, {"content_encoding": "gzip"}):
        content = json_lines(asked)
        answer = await send(client, gzip.compress(content) if headers else content, **headers)
        found = [json.loads(line) for line in answer.content.splitlines()]
        assert [line["session"] for line in found] == names * len(INPUTS)
        assert [line["output"] for line in found] == [row for row in expected for _ in names]
        names = [await begin(client) for _ in range(3)]
        asked = [{"session": name, "input": row.tolist()} for row in INPUTS for name in names]


def json_lines(asked: Sequence[dict[str, Any]]) -> bytes:
    """Return documents as lines."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in asked)


async def test_frames_have_the_bits_of_single_requests(client: httpx.AsyncClient, expected: list[list[float]]) -> None:
    names = [await begin(client) for _ in range(3)]
    asked = [
        [Step(name, row.reshape(1, 1, 2), tag=100 * at + number) for number, name in enumerate(names)]
        for at, row in enumerate(INPUTS)
    ]
    found = await send_frames(client, *asked)
    assert [answer.tag for answer in found] == [step.tag for frame in asked for step in frame]
    outputs = [answer.outputs for answer in found]
    assert [one.shape for one in outputs if one is not None] == [(1, 1, 3)] * 21
    assert [one[0, 0].tolist() for one in outputs if one is not None] == [row for row in expected for _ in names]
    for name, last in zip(names, found[-3:], strict=True):
        where = (await client.get(f"/v1/sessions/{name}")).json()["position"]
        assert str(last.position) == where


async def test_a_sequence_is_a_line_or_a_record(client: httpx.AsyncClient, expected: list[list[float]]) -> None:
    one, other, third = [await begin(client) for _ in range(3)]
    (found,) = await send_lines(client, [{"session": one, "inputs": INPUTS.tolist()}])
    assert (found["outputs"], found["step"]) == (expected, 7)
    (found,) = await send_lines(client, [{"session": other, "inputs": INPUTS.T.tolist(), "layout": "FT"}])
    assert found["outputs"] == np.array(expected).T.tolist()
    (answer,) = await send_frames(client, [Step(third, INPUTS[:, None], True)])
    assert answer.outputs is not None
    assert answer.outputs[:, 0].tolist() == expected


async def test_every_form_may_be_answered_in_the_other(client: httpx.AsyncClient, expected: list[list[float]]) -> None:
    name = await begin(client)
    frame = pack_steps([Step(name, INPUTS[:1, None])])
    answer = await send(client, frame, FRAMES, accept=LINES)
    assert json.loads(answer.content)["output"] == [expected[0]]
    answer = await send(client, json_lines([{"session": name, "input": INPUTS[1].tolist()}]), LINES, accept=FRAMES)
    (found,) = read_frames(answer.content)
    assert found.outputs is not None
    assert found.outputs[0, 0].tolist() == expected[1]


async def test_each_line_is_recognised_by_itself(client: httpx.AsyncClient) -> None:
    name = await begin(client)
    step = {"session": name, "input": [1, 2]}
    found = await send_lines(
        client,
        [
            {**step, "step": 0},
            {**step, "step": 0},
            {**step, "writer": "a", "seq": 1},
            {**step, "writer": "a", "seq": 1},
            {**step, "key": "one"},
            {**step, "key": "one"},
            {**step, "timeout_ms": 60000},
        ],
    )
    assert [line["step"] for line in found] == [1, 1, 2, 2, 3, 3, 4]
    assert [line.get("replayed", False) for line in found] == [False, True, False, True, False, True, False]


async def test_each_record_is_recognised_by_itself(client: httpx.AsyncClient) -> None:
    name = await begin(client)
    epoch, _, digest = (await client.get(f"/v1/sessions/{name}")).json()["position"].split(".")
    start = frames.Place(bytes.fromhex(epoch), 0, bytes.fromhex(digest))
    step = Step(name, INPUTS[:1, None])
    found = await send_frames(
        client,
        [
            step._replace(position=start),
            step._replace(position=start),
            step._replace(step=1),
            step._replace(step=1),
            step._replace(writer="a", seq=1),
            step._replace(writer="a", seq=1),
            step._replace(key="one"),
            step._replace(key="one", timeout_ms=60000),
            step._replace(reset=b"\1"),
        ],
    )
    assert [answer.position and answer.position[1] for answer in found] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert [answer.replayed for answer in found] == [False, True] * 4 + [False]
    assert found[8].outputs is not None
    assert found[0].outputs is not None
    assert found[8].outputs.tolist() == found[0].outputs.tolist(), "a reset row begins anew"


async def test_lines_fail_one_by_one(client: httpx.AsyncClient, expected: list[list[float]]) -> None:
    name = await begin(client)
    good = {"session": name, "input": INPUTS[0].tolist()}
    bad: list[tuple[dict[str, Any] | bytes, str, str | None]] = [
        (b"{", "malformed_json", None),
        (b"\xff", "malformed_json", None),
        (b"[]", "invalid_input", ""),
        (b'{"session": "a", "session": "b", "input": [1, 2]}', "invalid_input", "/session"),
        ({"input": [1, 2]}, "invalid_input", "/session"),
        ({"session": name}, "invalid_input", "/input"),
        ({**good, "inputs": [[1, 2]]}, "invalid_input", "/input"),
        ({**good, "session": "a\n"}, "invalid_input", "/session"),
        ({**good, "session": "nobody"}, "session_unknown", None),
        ({**good, "input": [1, "2"]}, "invalid_input", "/input/1"),
        ({**good, "input": [1, 2, 3]}, "shape_mismatch", "/input"),
        ({"session": name, "inputs": [[1, 2, 3]]}, "shape_mismatch", "/inputs"),
        ({**good, "step": 99}, "regressed", None),
        ({**good, "writer": "a"}, "invalid_input", "/seq"),
        ({**good, "key": ""}, "invalid_input", "/key"),
        ({**good, "timeout_ms": 0}, "invalid_input", "/timeout_ms"),
        ({**good, "reset": [True, True]}, "invalid_input", "/reset"),
    ]
    found = await send_lines(client, [line for pair in ((one, good) for one, *_ in bad) for line in pair])
    for (line, kind, pointer), problem in zip(bad, found[::2], strict=True):
        assert (slug(problem), problem.get("pointer")) == (kind, pointer), problem
        named = line.get("session") if isinstance(line, dict) else None
        assert problem.get("session") in (named, "b")
    assert [line["step"] for line in found[1::2]] == [*range(1, 1 + len(bad))]
    assert found[1]["output"] == expected[0]


async def test_records_fail_one_by_one(client: httpx.AsyncClient) -> None:
    name = await begin(client)
    good = Step(name, INPUTS[:1, None])
    bad = [
        (good._replace(session="nobody"), 404, "session_unknown"),
        (good._replace(session=""), 422, "invalid_input"),
        (good._replace(session="\udcff"), 422, "invalid_input"),
        (good._replace(inputs=INPUTS[:2, None]), 422, "shape_mismatch"),
        (good._replace(inputs=INPUTS[None, :2]), 422, "shape_mismatch"),
        (good._replace(inputs=np.zeros((1, 0, 2), np.float32)), 422, "shape_mismatch"),
        (good._replace(inputs=np.zeros((0, 1, 2), np.float32), sequence=True), 422, "shape_mismatch"),
        (good._replace(inputs=np.full((1, 1, 2), np.nan, np.float32)), 422, "not_finite"),
        (good._replace(step=99), 409, "regressed"),
        (good._replace(writer="a"), 422, "invalid_input"),
        (good._replace(writer="a\n", seq=1), 422, "invalid_input"),
        (good._replace(writer="\udcff", seq=1), 422, "invalid_input"),
        (good._replace(seq=1), 422, "invalid_input"),
        (good._replace(key="a\tb"), 422, "invalid_input"),
        (good._replace(timeout_ms=2**31), 422, "invalid_input"),
        (good._replace(reset=b"\2"), 422, "invalid_input"),
    ]
    found = await send_frames(client, [step for one, *_ in bad for step in (one, good)])
    for (_, status, kind), answer in zip(bad, found[::2], strict=True):
        assert (answer.status, slug(json.loads(answer.problem))) == (status, kind)
        assert (answer.outputs, answer.position) == (None, None)
    assert [answer.position and answer.position[1] for answer in found[1::2]] == [*range(1, 1 + len(bad))]


async def test_an_output_that_was_not_kept_is_null(client: httpx.AsyncClient) -> None:
    name = await begin(client)
    inputs = np.zeros((1000, 1, 2), np.float32)
    step = Step(name, inputs, True, step=0)
    first, again = await send_frames(client, [step, step])
    assert first.outputs is not None
    assert (again.outputs, again.replayed, again.position) == (None, True, first.position)
    (line,) = await send_lines(client, [{"session": name, "inputs": inputs[:, 0].tolist(), "step": 0}])
    assert (line["outputs"], line["replayed"], line["step"]) == (None, True, 1000)


async def test_what_ends_a_stream_comes_behind_the_answers(client: httpx.AsyncClient) -> None:
    name = await begin(client)
    frame = pack_steps([Step(name, INPUTS[:1, None])])
    answer = await send(client, frame + frame + b"Cell" * 8, FRAMES)
    splitter = FrameSplitter(1 << 20)
    *good, last = splitter.feed(answer.content)
    assert [unpack_answers(one)[0].status for one in good] == [200, 200]
    problem = unpack_problem(last)
    assert problem is not None
    assert (slug(json.loads(problem)), unpack_problem(good[0])) == ("malformed_body", None)
    answer = await send(client, frame + b"Cell\x02", FRAMES, accept=LINES)
    first, end = (json.loads(line) for line in answer.content.splitlines())
    assert (first["step"], slug(end)) == (3, "malformed_body")
    line = json_lines([{"session": name, "input": [1, 2]}])
    answer = await send(client, line + b" " * (MAX_BODY_BYTES + 1))
    first, end = (json.loads(line) for line in answer.content.splitlines())
    assert (first["step"], slug(end)) == (4, "body_too_large")


@pytest.mark.parametrize(
    ("content", "headers", "status", "kind"),
    [
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": "application/json"}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": LINES, "accept": "application/json"}, 406, "not_acceptable"),
        (b"{}", {"content-type": LINES, "content-encoding": "br"}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": LINES, "content-encoding": "gzip"}, 400, "malformed_body"),
        (b"{}", {"content-type": FRAMES}, 400, "malformed_body"),
        (b"{" * (MAX_BODY_BYTES + 1), {"content-type": LINES}, 413, "body_too_large"),
        (layout.HEADER.pack(b"Cell", 1, 1, 0, 0, 2**32 - 1, 0, 0), {"content-type": FRAMES}, 413, "body_too_large"),
        (layout.HEADER.pack(b"Cell", 1, 1, 0, 4097, 0, 0, 0), {"content-type": FRAMES}, 413, "body_too_large"),
    ],
)
async def test_what_is_wrong_from_the_beginning_is_no_stream(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = await client.post("/v1/steps", content=content, headers=headers)
    assert (answer.status_code, slug(answer.json())) == (status, kind)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_nothing_is_answered_by_nothing(client: httpx.AsyncClient) -> None:
    for kind in (LINES, FRAMES):
        assert (await send(client, b"", kind)).content == b""
    assert await send_frames(client, []) == []


async def test_more_steps_than_may_wait_are_answered_all(client: httpx.AsyncClient) -> None:
    """More than the window holds, and longer than a body may be elsewhere."""
    name, count = await begin(client), 5000

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield json_lines([{"session": name, "input": [0.25, 0.5]}])

    answer = await send(client, stream())
    assert [json.loads(line)["step"] for line in answer.content.splitlines()] == [*range(1, count + 1)]
    found = await send_frames(client, *[[Step(name, INPUTS[:1, None])] * 2000] * 2)
    assert [answer.position and answer.position[1] for answer in found] == [*range(count + 1, count + 4001)]


async def test_a_megabyte_of_faults_is_answered_with_a_bounded_number_of_lines(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/steps", content=b"{}\n" * 300_000, headers={"Content-Type": lines.MEDIA_TYPE})
    *faults, last = [json.loads(line) for line in answer.text.splitlines()]
    assert len(faults) == MOST_FAULTS
    assert last["type"] == "urn:cellar:problem:too_many_faults"


async def test_a_megabyte_of_blank_lines_is_answered_with_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/steps", content=b"\n" * 1_000_000, headers={"Content-Type": lines.MEDIA_TYPE})
    assert (answer.status_code, answer.content) == (200, b"")
