"""Answers that are written together are those that are written one by one."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellar.api.bulk.failed_lines import FailedLines
from cellar.api.bulk.replies import LineAnswers
from cellar.api.bulk.steps import BulkStep
from cellar.errors import CellarError, InvalidInput, Overloaded
from cellar.ports import ROW, ROWS, Position, SessionKey, StepCommand, StepResult
from cellar.sessions.requests.request import PendingResult, PendingSteps

results = st.fixed_dictionaries(
    {
        "session": st.sampled_from(["s", "t\u00e9l\u00e9", 'a"\\b', "\U0001f321:1"]),
        "outputs": st.none() | st.lists(st.floats(width=32), min_size=1, max_size=2),
        "layout": st.sampled_from([ROW, ROW, ROW, ROWS, "TF"]),
        "replayed": st.sampled_from([False, False, True]),
        "model": st.sampled_from([None, None, "m@2"]),
        "scored": st.sampled_from([False, False, True]),
    }
)
outcomes = st.lists(results | st.just(Overloaded("too many requests are waiting")) | st.none(), max_size=6)
"""Answers; an error; None: not known yet."""


def result_of(given: dict[str, Any]) -> StepResult:
    """Return the result of a step, or of a sequence of one."""
    kind: Any = "sequence" if given["layout"] == "TF" else "step"
    command = StepCommand(SessionKey("default", given["session"]), np.zeros((1, 1, 2), np.float32), kind=kind)
    command.layout, command.scored = given["layout"], given["scored"]
    output = None if given["outputs"] is None else np.array(given["outputs"], "<f4").tobytes()
    return StepResult(command, Position(bytes(8), 7, bytes(range(16))), 1, output, given["replayed"], given["model"])


def error_for(_: BulkStep, error: Exception) -> Exception:
    return InvalidInput(f"instead of {type(error).__name__}", expected="x", actual="y")


@given(outcomes)
def test_answers_that_are_written_together(given: list[Any]) -> None:
    steps, pending, expected = list[BulkStep](), list[PendingSteps | Exception](), LineAnswers()
    known = given.index(None) if None in given else len(given)
    for at, each in enumerate(given):
        result = result_of(each) if isinstance(each, dict) else each
        command = result.command if isinstance(result, StepResult) else None
        steps.append(BulkStep(None if command is None else command.session.session, at, command))
        one: PendingSteps = PendingResult()
        if isinstance(result, StepResult):
            one.finish(result)
        pending.append(result if isinstance(result, CellarError) else one)
        if at < known:
            expected.add(steps[-1], result if isinstance(result, StepResult) else error_for(steps[-1], result))
    answers = LineAnswers()
    assert answers.add_ready(steps, pending, 0, error_for, FailedLines("/v1/steps")) == known
    assert answers.ready() == expected.ready()
