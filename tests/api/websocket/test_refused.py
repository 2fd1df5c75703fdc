"""A refused message says whose it was and which, whatever is wrong with it, and the steps behind it wait for it."""

import json
from typing import Any

import pytest

from tests.api.websocket.conftest import Served

pytestmark = pytest.mark.anyio

FAULTS = {
    "null": '"input": [1, null]',
    "NaN": '"input": [1, NaN]',
    "minus infinity": '"input": [1, -Infinity]',
    "beyond float64": '"input": [1, 1e400]',
    "beyond float32": '"input": [1, 1e39]',
    "a long integer": f'"input": [1, {400 * "9"}]',
    "a string": '"input": [1, "2"]',
    "another shape": '"input": [1, 2, 3]',
    "a member twice": '"input": [1, 2], "reset": true, "reset": true',
    "the input twice": '"input": [1, 2], "input": [1, 2]',
    "an unknown member": '"input": [1, 2], "what": {"id": 9, "seq": 9}',
    "many unknown members": '"input": [1, 2], ' + ", ".join(f'"x{number}": 1' for number in range(1000)),
    "deep nesting": f'"input": {2000 * "["}1{2000 * "]"}',
    "a lone surrogate": '"input": [1, "\\ud800"]',
    "a number that is none": '"input": [1, 02]',
    "no input": '"output": [1, 2]',
    "a NaN far behind": f'"input": [{40_000 * "1, "}NaN]',
    "too much besides": f'"input": [1, 2], "key": "{2_000_0 * "x"}"',
    "no numbers in a long array": f'"input": [{20_000 * "true, "}1]',
}


def text(session: str, number: int, members: str, **more: Any) -> str:
    """Return a message of a writer, whose names stand on both sides of the rest."""
    before = json.dumps({"id": number, **more})[1:-1]
    after = json.dumps({"session": session, "writer": "gauge", "seq": number})[1:-1]
    return f"{{{before}, {members}, {after}}}"


@pytest.mark.parametrize("many", [False, True], ids=["one session", "many sessions"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_it_keeps_its_id_its_session_and_its_number(served: Served, fault: str, many: bool) -> None:
    session = await served.begin()
    good = '"input": [1, 2]'
    async with served.stream(None if many else session) as stream:
        await stream.receive()
        answers = []
        for messages in (((1, good), (2, FAULTS[fault]), (3, good)), ((2, good), (3, good))):
            for number, members in messages:
                await stream.socket.send(text(session, number, members))
            answers += [await stream.receive() for _ in messages]
    assert [answer["id"] for answer in answers] == [1, 2, 3, 2, 3]
    assert {answer.get("session") for answer in answers} == {session if many else None}
    assert [answer.get("step") for answer in answers] == [1, None, None, 2, 3]
    assert answers[1]["problem"]["status"] in {400, 413, 422}
    assert answers[2]["problem"]["type"] == "urn:cellar:problem:not_reached"
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 3


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_line_keeps_its_session(served: Served, fault: str) -> None:
    session = await served.begin()
    good = f'{{"session": "{session}", "input": [1, 2]}}'
    bad = f'{{{FAULTS[fault]}, "session": "{session}"}}'
    content = "\n".join((good, bad, good))
    answer = await served.http.post("/v1/steps", content=content, headers={"content-type": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("session") for line in lines] == 3 * [session]
    assert [line.get("step") for line in lines] == [1, None, 2]


async def test_a_line_that_is_no_utf8_keeps_its_session(served: Served) -> None:
    session = await served.begin()
    bad = b'{"input": ["\xff"], "session": "%b"}' % session.encode()
    answer = await served.http.post("/v1/steps", content=bad, headers={"content-type": "application/x-ndjson"})
    assert answer.json()["session"] == session
