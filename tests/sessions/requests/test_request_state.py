"""The table of a request's states: what it allows, and its picture in CONTRIBUTING."""

from pathlib import Path

import pytest

from cellar.ports import APPEND, Position, SessionKey, StepCommand
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.requests.request_state import (
    ANSWERED,
    COMMITTING,
    DISPATCHED,
    RUNNING,
    STATES,
    WAITING,
    IllegalTransition,
    RequestState,
)
from tests.sessions.session_calls import a_sequence

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"


def a_request(*states: RequestState) -> StepRequest:
    """Return a request that has gone through these states."""
    command = StepCommand(SessionKey("default", "s"), a_sequence(1))
    request = StepRequest(command, APPEND, bytes(16), bytes(16), 0.0, command.inputs)
    for state in states:
        request.move_to(state)
    return request


def picture() -> str:
    """Return the table as a state diagram of Mermaid."""
    arrows = [f"    [*] --> {WAITING.name}"]
    for state in STATES:
        arrows += [f"    {state.name} --> {after.name}: {why}" for after, why in state.following.items()]
    return "\n".join(["stateDiagram-v2", *arrows, f"    {ANSWERED.name} --> [*]"]) + "\n"


def test_the_picture_in_contributing_is_that_of_the_table() -> None:
    assert f"```mermaid\n{picture()}```\n" in CONTRIBUTING.read_text("utf-8")


def test_every_state_can_be_reached_and_left_but_for_the_last() -> None:
    reached = {WAITING}
    for _ in STATES:
        reached |= {after for state in reached for after in state.following}
    assert reached == set(STATES)
    assert [state for state in STATES if not state.following] == [ANSWERED]
    assert all(ANSWERED in state.following for state in STATES if state is not ANSWERED)


@pytest.mark.parametrize(
    "states",
    [(COMMITTING,), (RUNNING,), (WAITING,), (DISPATCHED, RUNNING, RUNNING), (DISPATCHED, COMMITTING, RUNNING)],
    ids=lambda states: " ".join(state.name for state in states),
)
def test_no_other_transition_is_made(states: tuple[RequestState, ...]) -> None:
    request = a_request(*states[:-1])
    with pytest.raises(IllegalTransition):
        request.move_to(states[-1])


def test_an_answered_request_stays_answered() -> None:
    request = a_request(DISPATCHED, RUNNING, COMMITTING)
    request.succeed(Position(bytes(8), 1, bytes(16)), 1, b"", False)
    request.move_to(DISPATCHED)
    request.cancel()
    assert request.state is ANSWERED
    assert request.result().position.step == 1
