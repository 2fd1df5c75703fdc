"""Each failed request has one line in the log, on every path, and an id that its client sees too."""

import json
import logging
from collections.abc import AsyncIterator

import pytest

from cellar.api.outcomes.request_log import MOST_LINES
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

SECRET = "cellar_001122334455_" + 43 * "s"


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a service that logs all requests."""
    async with serving(with_own_keys(settings, log_requests=1.0)) as served:
        yield served


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return the log, with the lines about requests."""
    caplog.set_level(logging.INFO, "cellar.request")
    return caplog


def of_requests(log: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """Return what the lines about requests say, without their times."""
    names = ("transport", "method", "route", "status", "problem", "tenant", "session", "request_id")
    found = [vars(line) for line in log.records if line.name == "cellar.request" and "status" in vars(line)]
    return [{name: line[name] for name in names if name in line} for line in found]


async def test_a_step_is_reported_with_the_id_of_its_client(served: Served, log: pytest.LogCaptureFixture) -> None:
    session = await served.begin()
    log.clear()
    async with connected(served) as client:
        for number in range(4):  # from the third on, the head is recognised without a parser
            client.writer.write(request(session, step(1, 2), b"X-Request-Id: a-%d" % number))
            answer = await client.answer()
            assert (answer.status, answer.headers["x-request-id"]) == (200, f"a-{number}")
        client.writer.write(request(session, step(1, 2, 3), b"X-Request-Id: two words"))
        refused = await client.answer()
    about = {"transport": "http", "method": "POST", "route": "/v1/sessions/{session}/step", "tenant": "default"}
    about |= {"session": session}
    expected = [about | {"status": 200, "request_id": f"a-{number}"} for number in range(4)]
    made = refused.headers["x-request-id"]
    assert made != "two words"
    assert of_requests(log) == [*expected, about | {"status": 422, "problem": "shape_mismatch", "request_id": made}]


async def test_what_goes_through_asgi_and_direct_routes_is_reported_too(
    served: Served, log: pytest.LogCaptureFixture
) -> None:
    async with connected(served) as client:
        for head in (
            b"GET /v1/sessions/nobody HTTP/1.1\r\nHost: test\r\nX-Request-Id: direct\r\n\r\n",
            b"GET /v1/sessions/nobody?a=1 HTTP/1.1\r\nHost: test\r\nX-Request-Id: asgi\r\n\r\n",
            b"GET /v1/%s HTTP/1.1\r\nHost: test\r\n\r\n" % SECRET.encode(),
            b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\nHost: other\r\n\r\n",
        ):
            client.writer.write(head)
            answer = await client.answer()
            assert ("x-request-id" in answer.headers) == (answer.status != 200)
    found = of_requests(log)
    about = {"transport": "http", "method": "GET", "route": "/v1/sessions/{session}", "tenant": "default"}
    about |= {"session": "nobody"}
    assert found[0] == about | {"status": 404, "problem": "session_unknown", "request_id": "direct"}
    assert found[1] == about | {"status": 422, "problem": "invalid_parameter", "request_id": "asgi"}
    said = [(line.get("route", ""), line["status"], line.get("problem")) for line in found[2:]]
    assert said == [("", 404, "not_found"), ("/healthz", 200, None), ("", 400, "malformed_request")]
    assert SECRET not in "".join(line.getMessage() for line in log.records)


async def test_steps_of_streams_are_reported(served: Served, log: pytest.LogCaptureFixture) -> None:
    session = await served.begin()
    async with served.stream(session) as stream:
        await stream.receive()
        log.clear()
        assert "problem" in await stream.ask(input=[1])
    (found,) = of_requests(log)[:1]
    assert (found["route"], found["status"], found["problem"], found["session"]) == (
        *("/v1/sessions/{session}/stream", 422, "shape_mismatch"),
        session,
    )


async def test_neither_inputs_nor_states_are_logged(served: Served, log: pytest.LogCaptureFixture) -> None:
    session = await served.begin()
    async with connected(served) as client:
        for body in (
            step(0.123456789, 2),
            step(0.123456789),
            b'{"input": [0.123456789, "x"]}',
            b'{"input": 0.123456789',
        ):
            client.writer.write(request(session, body))
            await client.answer()
    assert len(of_requests(log)) >= 4
    assert not [line for line in log.records if "123456" in line.getMessage() + str(vars(line))]


async def test_a_flood_of_failures_is_counted_and_not_written(served: Served, log: pytest.LogCaptureFixture) -> None:
    async with connected(served) as client:
        for _ in range(MOST_LINES + 10):
            client.writer.write(request("nobody", step(1, 2)))
            await client.answer()
        await until(lambda: "more requests have failed" in log.text or len(of_requests(log)) == MOST_LINES + 10)
    assert "session_unknown" in log.text


async def test_the_failed_lines_of_a_bulk_request_are_one_line(served: Served, log: pytest.LogCaptureFixture) -> None:
    """Its answer is 200, so that nothing was logged of them."""
    session = await served.begin()
    log.clear()
    steps: list[dict[str, object]] = [{"session": session, "input": [1, 2]}, {"session": session, "input": [1]}]
    steps.extend({"session": "none", "input": [1, 2]} for _ in range(2))
    orders = [{"session": "new-one", "model": "none"}, {"session": "new-two"}]
    for path, lines in (("/v1/steps", steps), ("/v1/sessions/bulk", orders)):
        content = "".join(json.dumps(line) + "\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson", "X-Request-Id": "of-mine"}
        assert (await served.http.post(path, content=content, headers=headers)).status_code == 200
    found = [line for line in log.records if "lines" in vars(line)]
    assert [vars(line)["lines"] for line in found] == [
        "3 of 4 lines: 2 session_unknown, 1 shape_mismatch",
        "2 of 2 lines: 1 model_unknown, 1 invalid_input",
    ]
    about = [(vars(line)["route"], vars(line)["status"], vars(line)["session"]) for line in found]
    assert about == [("/v1/steps", 422, session), ("/v1/sessions/bulk", 422, "new-one")]
    assert all(vars(line)["request_id"] == "of-mine" for line in found)
