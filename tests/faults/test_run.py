"""Exactly once, with real services: clients, hops, kills and the check; and the proof that the check can fail.

`make faults` is the same with 10,000 steps.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.faults import ground as standing
from tests.faults.asked import Asked
from tests.faults.cell import LARGEST, P, State
from tests.faults.checker import check, complaints
from tests.faults.ground import Ground, ground
from tests.faults.run import Plan, carry_out
from tests.faults.sabotage import command
from tests.faults.transports import Answers
from tests.faults.writers import Client

pytestmark = pytest.mark.anyio

QUICK = Plan(steps=1000, kills=2)


@pytest.fixture(scope="module")
async def honest(redis_server_binary: Path, kernel_directory: Path) -> AsyncIterator[Ground]:
    """Yield services as they are."""
    async with ground(redis_server_binary, kernel_directory, "suite", QUICK.chances) as there:
        yield there


async def test_every_acknowledged_step_is_there_once_and_in_order(honest: Ground) -> None:
    outcome = await carry_out(QUICK, honest)
    check(outcome.evidence)
    assert outcome.book.steps + sum(len(asked.values) for asked in outcome.book.doubtful) == QUICK.steps
    assert outcome.book.counts["replays answered"] > 0
    assert outcome.kills.total() == QUICK.kills


async def test_several_processes_that_are_killed_and_replaced(
    redis_server_binary: Path, kernel_directory: Path
) -> None:
    plan = replace(QUICK, processes=2, kills=3)
    async with ground(redis_server_binary, kernel_directory, "several", plan.chances, processes=2) as there:
        outcome = await carry_out(plan, there)
    check(outcome.evidence)
    assert outcome.kills["rolling restarts"] == plan.kills


async def test_a_process_that_is_stopped_while_steps_are_forwarded_to_it(
    redis_server_binary: Path, kernel_directory: Path
) -> None:
    """It goes on when the other one has given it up, with the steps that it had then."""
    plan = replace(QUICK, processes=2, kills=0, stops=1)
    async with ground(redis_server_binary, kernel_directory, "stopped", plan.chances, processes=2) as there:
        outcome = await carry_out(plan, there)
    check(outcome.evidence)
    assert outcome.kills["stops of a process"] == plan.stops


async def test_a_client_that_takes_a_lost_answer_for_no_answer_is_caught(honest: Ground) -> None:
    """Every try under a key of its own: that is what a lost reply taken for a lost request comes to."""

    class Forgetful(Client):
        async def try_once(self, asked: Sequence[Asked]) -> Answers:
            return await super().try_once([replace(each, key=f"{self.rng.random()}") for each in asked])

    plan = Plan(steps=200, numbered=0, keyed=16, appending=0, alone=0, kills=0)
    found = (await carry_out(plan, honest, Forgetful)).evidence
    assert any("steps of which no client was told" in complaint for complaint in complaints(found))


async def test_the_cell_is_exact_where_it_wraps_around(honest: Ground) -> None:
    states = [State(n, a) for n, a in enumerate((0, (P - 1) // 2, (P + 1) // 2, P - 1, P - 1, 1))]
    inputs = [0, 0, 0, 0, LARGEST, P // 5]
    session = await standing.begin(honest.replicas[0].url, rows=len(states))
    async with httpx.AsyncClient(timeout=standing.COMPILED_S) as client:
        url = f"{honest.replicas[0].url}/v1/sessions/{session}"
        layer = {"layer": 0, "n": [[state.n] for state in states], "a": [[state.a] for state in states]}
        (await client.put(f"{url}/state", json={"layers": [layer]})).raise_for_status()
        told = await client.post(f"{url}/step", json={"input": [[x] for x in inputs]})
    after = [state.after(x) for state, x in zip(states, inputs, strict=True)]
    assert told.json()["output"] == [[state.a] for state in after]


async def test_a_commit_that_compares_nothing_is_caught(redis_server_binary: Path, kernel_directory: Path) -> None:
    plan = Plan(steps=300, numbered=0, keyed=0, appending=64, alone=0, kills=0)
    async with ground(redis_server_binary, kernel_directory, "blind", (0, 0), command("blind")) as there:
        found = (await carry_out(plan, there)).evidence
    assert any("an acknowledged step is not there" in complaint for complaint in complaints(found))


async def test_a_service_that_takes_a_lost_reply_for_a_lost_commit_is_caught(
    redis_server_binary: Path, kernel_directory: Path
) -> None:
    plan = Plan(steps=200, numbered=0, keyed=0, appending=16, alone=0, kills=0)
    async with ground(redis_server_binary, kernel_directory, "forgetful", (0, 0.4), command("forgetful")) as there:
        found = (await carry_out(plan, there)).evidence
    assert any("steps of which no client was told" in complaint for complaint in complaints(found))
