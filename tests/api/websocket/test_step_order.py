"""No step is applied behind one that failed and on which it depends; steps that depend on nothing go on."""

import json
from typing import Any

import numpy as np
import pytest

from cellar.api.decoding.steps.step_order import MOST_FAILURES, Order, Place, place_of
from cellar.errors import NotReached, Overloaded
from cellar.ports import Identity, Position, StepCommand
from cellar.sessions.requests.request import PendingSteps
from cellar.wire.frames import frames
from tests.api.websocket.conftest import Served, Stream

pytestmark = pytest.mark.anyio

HERE = Position(bytes(8), 3, bytes(16))
GOOD, BAD = [1, 2], [1, True]


def pending() -> PendingSteps:
    """Return a step in flight."""
    return PendingSteps()


@pytest.mark.parametrize(
    ("identity", "place"),
    [
        (Identity(), None),
        (Identity(key="k"), None),
        (Identity(position=HERE), None),
        (Identity(position=HERE, step=3), None),
        (Identity(step=3), Place(None, 3)),
        (Identity(writer="w", seq=3), Place("w", 3)),
    ],
)
def test_numbers_depend_on_those_before(identity: Identity, place: Place | None) -> None:
    assert place_of(identity) == place


async def test_a_step_depends_on_the_one_in_flight_before_it() -> None:
    order, first = Order(), pending()
    order.begin("s", Place(None, 1), first)
    assert order.predecessor("s", Place(None, 2)) is first
    assert order.predecessor("s", Place("w", 2)) is None
    assert order.predecessor("t", Place(None, 2)) is None
    order.end("s", Place(None, 1), first, failed=False)
    assert order.predecessor("s", Place(None, 2)) is None


async def test_what_failed_must_come_again_first() -> None:
    order, first = Order(), pending()
    order.begin("s", Place(None, 1), first)
    order.end("s", Place(None, 1), first, failed=True)
    with pytest.raises(NotReached):
        order.predecessor("s", Place(None, 2))
    assert order.predecessor("s", Place(None, 1)) is None
    assert order.predecessor("s", Place(None, 2)) is None


async def test_of_several_failures_the_first_counts_and_can_be_forgiven() -> None:
    order = Order()
    for number in (2, 1, 3):
        order.begin("s", Place("w", number), None)
    with pytest.raises(NotReached, match="request 1"):
        order.predecessor("s", Place("w", 2))
    order.forget_failures("t")
    with pytest.raises(NotReached):
        order.predecessor("s", Place("w", 2))
    order.forget_failures("s")
    assert order.predecessor("s", Place("w", 2)) is None


async def test_the_oldest_failure_is_forgotten() -> None:
    order = Order()
    for number in range(MOST_FAILURES + 1):
        order.begin(f"s{number}", Place(None, 0), None)
    assert order.predecessor("s0", Place(None, 1)) is None
    with pytest.raises(NotReached):
        order.predecessor("s1", Place(None, 1))


async def names(served: Served, messages: list[dict[str, Any]], *, many: bool = True) -> list[str]:
    """Return what becomes of steps that are sent at once: the name of the problem, or the step reached."""
    async with served.stream(None if many else messages[0]["session"]) as stream:
        await stream.receive()
        for message in messages:
            await stream.send(**message)
        answers = [await stream.receive() for _ in messages]
    return [
        answer["problem"]["type"].removeprefix("urn:cellar:problem:") if "problem" in answer else str(answer["step"])
        for answer in answers
    ]


async def test_numbered_steps_behind_a_bad_one_are_not_reached(served: Served) -> None:
    session = await served.begin()
    found = await names(
        served,
        [
            {"session": session, "input": GOOD, "step": 0},
            {"session": session, "input": BAD, "step": 1},
            {"session": session, "input": GOOD, "step": 2},
            {"session": session, "input": GOOD},
            {"session": session, "input": GOOD, "step": 2},
            {"session": session, "input": GOOD, "step": 1},
        ],
        many=False,
    )
    assert found == ["1", "invalid_input", "not_reached", "2", "not_reached", "step_taken"]


async def test_a_writers_requests_behind_a_bad_one_are_not_reached(served: Served) -> None:
    session = await served.begin()
    found = await names(
        served,
        [
            {"session": session, "input": GOOD, "writer": "a", "seq": 1},
            {"session": session, "input": [1, 2, 3], "writer": "a", "seq": 2},
            {"session": session, "input": GOOD, "writer": "a", "seq": 3},
            {"session": session, "input": GOOD, "writer": "b", "seq": 1},
            {"session": session, "input": GOOD, "writer": "a", "seq": 4},
        ],
        many=False,
    )
    assert found == ["1", "shape_mismatch", "not_reached", "2", "not_reached"]


async def test_no_step_is_applied_behind_somebody_elses(served: Served) -> None:
    """Of the steps 1, 2 and 3 the first loses to another client: the others would fit behind that one's."""
    session = await served.begin()
    await served.http.post(f"/v1/sessions/{session}/step", json={"input": [5, 5]})
    found = await names(served, [{"session": session, "input": GOOD, "step": step} for step in (0, 1, 2)])
    assert found == ["step_taken", "not_reached", "not_reached"]
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 1


async def test_a_position_says_that_the_client_knows_where_it_is(served: Served) -> None:
    session = await served.begin()
    async with served.stream() as stream:
        await stream.receive()
        first = await stream.ask(session=session, input=GOOD, step=0)
        assert "problem" in await stream.ask(session=session, input=BAD, step=1)
        assert "problem" in await stream.ask(session=session, input=GOOD, step=2)
        assert (await stream.ask(session=session, input=GOOD, position=first["position"]))["step"] == 2
        assert (await stream.ask(session=session, input=GOOD, step=2))["step"] == 3


async def test_a_conflict_of_one_of_many_sessions_is_of_no_other(served: Served) -> None:
    one, other = await served.begin(), await served.begin()
    found = await names(
        served,
        [
            {"session": one, "input": GOOD, "step": 7},
            {"session": other, "input": GOOD, "step": 0},
            {"session": "nobody", "input": GOOD},
            {"input": GOOD},
        ],
    )
    assert sorted(found) == ["1", "invalid_input", "regressed", "session_unknown"]


@pytest.mark.pure
@pytest.mark.parametrize("frame", [False, True])
async def test_steps_behind_one_that_found_the_service_full_are_not_reached(
    served: Served, monkeypatch: pytest.MonkeyPatch, frame: bool
) -> None:
    """The session is where it was, and nothing is lost: sent again, all of them are applied."""
    every, submit = served.app.state.services.sessions.steps, served.app.state.services.sessions.steps.submit
    session = await served.begin()

    def full(command: StepCommand, *arguments: Any) -> Any:
        if command.identity.step == 1:
            raise Overloaded("too many requests are waiting")
        return submit(command, *arguments)

    async def told(stream: Stream) -> list[str]:
        if frame:
            step = frames.Step(session, np.ones((1, 1, 2), np.float32), timeout_ms=60_000)  # each goes by itself
            await stream.send_frame(*[step._replace(step=number) for number in range(4)])
            answers = await stream.receive_frames(4)
            return [json.loads(each.problem)["type"] if each.problem else "" for each in answers]
        for number in range(4):
            await stream.send(session=session, input=[1, 1], step=number)
        return [(await stream.receive()).get("problem", {}).get("type", "") for _ in range(4)]

    async with served.stream() as stream:
        await stream.receive()
        monkeypatch.setattr(every, "submit", full)
        problem = "urn:cellar:problem:"
        assert await told(stream) == ["", f"{problem}overloaded", f"{problem}not_reached", f"{problem}not_reached"]
        monkeypatch.undo()
        assert await told(stream) == [""] * 4
