"""The way of a plain HTTP step through the package is short: few files, and few turns back to the callers."""

import pytest

from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.step_path import Call, files, is_turn, recorded
from tests.api.websocket.conftest import serving

pytestmark = [pytest.mark.anyio, pytest.mark.pure]

MOST_FILES = 25
MOST_TURNS = 2


RECORDS = 5


async def plain_step(settings: Settings) -> list[Call]:
    """Return the calls of a step like others before it, on a connection that is kept.

    Background tasks may run during some of the records: the shortest has none of them.
    """
    records: list[list[Call]] = []
    async with serving(with_own_keys(settings)) as served:
        session = await served.begin()
        async with connected(served) as client:
            for _ in range(20):
                client.writer.write(request(session, step(1, 2)))
                assert (await client.answer()).status == 200
            for number in range(RECORDS):
                with recorded() as calls:
                    client.writer.write(request(session, step(1, 2)))
                    assert (await client.answer()).body["step"] == 21 + number
                records.append(calls)
    return min(records, key=len)


async def test_a_plain_step_passes_few_files_and_turns_back_twice(settings: Settings) -> None:
    """Up to the transport go the result of the commit, from the store, and the answer, from the sessions."""
    calls = await plain_step(settings)
    passed = files(calls)
    assert (passed[0], len(passed) <= MOST_FILES) == ("api.fast_http.protocol", True), passed
    turns = {(call.caller, call.callee) for call in calls if is_turn(call)}
    assert len(turns) <= MOST_TURNS, turns


def test_a_turn_is_a_call_from_who_is_used() -> None:
    down = Call("api.fast_http.protocol", "sessions.service.steps", "submit")
    assert not is_turn(down)
    assert not is_turn(Call(None, "sessions.service.steps", "submit"))
    assert is_turn(Call(down.callee, "api.fast_http.protocol", "write"))
    assert is_turn(Call("store.sessions.commits.pipeline", "sessions.scheduling.lifecycle", "settle"))
    assert is_turn(Call("sessions.requests.request", "sessions.scheduling.lifecycle", "end"))
    assert not is_turn(Call("sessions.scheduling.lifecycle", "sessions.requests.request", "end"))
