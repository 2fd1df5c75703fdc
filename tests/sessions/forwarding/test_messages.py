"""Commands, results and errors are after the way between two processes what they were before."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from cellar.errors import CellarError, Diverged, InternalError, Overlap, Overloaded
from cellar.ports import APPEND, Identity, Position, RowChoice, SessionKey, StepChanges, StepCommand, StepResult
from cellar.sessions.forwarding.messages import (
    GREETING,
    MessageReader,
    Outcome,
    changes_of,
    command_of,
    outcome_of,
    pack,
    pack_changes,
    pack_command,
    pack_outcome,
)

KEY = SessionKey("default", "Pumpe ☃")
INPUTS = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
PLACE = Position(b"12345678", 7, bytes(range(16)))


def carried(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a message as the other process reads it."""
    reader = MessageReader()
    _, found = reader.feed(GREETING + pack(message))
    return found


COMMANDS = [
    StepCommand(KEY, INPUTS),
    StepCommand(
        KEY, INPUTS, Identity(position=PLACE, step=7), True, 1.5, "sequence", "BTF", is_finite=True, came_s=2.5
    ),
    StepCommand(KEY, INPUTS, Identity(step=3, key="a key"), [True, False, True], kind="batch", is_finite=True),
    StepCommand(KEY, INPUTS, Identity(writer="w", seq=4), [[True], [False, True, False]]),
    StepCommand(KEY, np.array(INPUTS, np.float64).transpose(0, 2, 1), rows=RowChoice([2, 0], None)),  # type: ignore[arg-type]  # a decoder's mistake
    StepCommand(KEY, INPUTS, rows=RowChoice(None, [2, 1, 0], np.ones((2, 3), np.uint8))),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_stays_what_it_is(command: StepCommand) -> None:
    found = command_of(carried(pack_command(5, 4, command)))
    for field in fields(StepCommand):
        before, after = getattr(command, field.name), getattr(found, field.name)
        if field.name == "inputs":
            assert (after.dtype, after.shape) == (np.float32, before.shape)
            assert np.array_equal(after, before.astype(np.float32))
        elif field.name == "rows" and before is not None:
            assert (before.numbers, before.lengths) == (after.numbers, after.lengths)
            assert np.array_equal(before.flags, after.flags)
        else:
            assert before == after, field.name
    assert (command.identity is APPEND) == (found.identity is APPEND)


def result(**more: Any) -> StepResult:
    """Return a result of the first command."""
    return StepResult(COMMANDS[0], PLACE, 2, **{"output": b"12345678", "replayed": False, "model": None, **more})


@pytest.mark.parametrize("sent", [result(), result(output=None, replayed=True), result(model="m@3")])
def test_a_result_stays_what_it_is(sent: StepResult) -> None:
    assert outcome_of(carried(pack_outcome(sent)), COMMANDS[0]) == sent


def kinds(kind: type[CellarError] = CellarError) -> Iterator[type[CellarError]]:
    """Yield a class and those that inherit from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


def filled(kind: type[CellarError]) -> CellarError:
    """Return an error all of whose members have a value."""
    error = kind.__new__(kind)
    values = {"retry_after_s": 7, "boundaries": (1, 5), "reachable": [(1, 2), (4, 9)], "outcome": "unknown"}
    for field in fields(kind):
        setattr(error, field.name, values.get(field.name, f"{field.name} of it"))
    return error


@pytest.mark.parametrize("kind", [*kinds()])
def test_an_error_stays_what_it_is(kind: type[CellarError]) -> None:
    error = filled(kind)
    found = outcome_of(carried(pack_outcome(error)), COMMANDS[0])
    assert (type(found), vars(found), str(found)) == (kind, vars(error), str(error))


def test_a_fault_of_the_service_is_no_more_than_that() -> None:
    assert type(outcome_of(carried(pack_outcome(ZeroDivisionError("secret"))), COMMANDS[0])) is InternalError


def test_members_of_errors_that_are_made_as_usual() -> None:
    sent: list[Outcome] = [
        Overloaded("full", retry_after_s=3),
        Diverged("other", position=str(PLACE)),
        Overlap("in", position="p", boundaries=(1, 2)),
    ]
    for error in sent:
        assert vars(outcome_of(carried(pack_outcome(error)), COMMANDS[0])) == vars(error)


@pytest.mark.parametrize("numbered", [False, True])
def test_committed_steps_stay_what_they_are(numbered: bool) -> None:
    changes = StepChanges(PLACE, bytes(range(48)), bytes(48), bytes(range(36)), numbered=numbered)
    found, model = changes_of(carried(pack_changes(changes, "m@1")))
    assert ([*found], found.after, model) == ([*changes], changes.after, "m@1")


def test_messages_are_found_however_they_are_cut() -> None:
    sent = GREETING + pack(([1, 2], "three")) + pack((b"x" * 300,))
    for size in (1, 2, 7, 100, len(sent)):
        reader = MessageReader()
        found: list[object] = []
        for start in range(0, len(sent), size):
            found += reader.feed(sent[start : start + size])
        assert found == [(), ([1, 2], "three"), (b"x" * 300,)]


def test_another_version_is_refused_at_its_first_byte() -> None:
    for greeting in (b"x", GREETING.replace(b"steps ", b"steps 9"), b"cellar 0.0.1 steps 1 python 3.0\n"):
        with pytest.raises(ValueError, match="another version"):
            [*MessageReader().feed(greeting)]
