"""Why the result of a job is not published, in the units of its target."""

from types import SimpleNamespace
from typing import Any, cast

from cellar.jobs.verdict import refusal_of
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.ports import Job

JOB = cast(Job, SimpleNamespace(spec={"model": "orders", "plan": {}}))
ERRORS: dict[str, float | None] = {"model": 9.118, "last_value": 12.8, "seasonal_value": None, "mean": 8.836}


def evaluation(**errors: Any) -> Evaluation:
    """Return an evaluation in which the mean is better than the model."""
    return Evaluation("validation", 0.456, None, 0.642, None, 0.442, by_target={"orders": ERRORS | errors})


def test_both_errors_are_in_units_of_the_target() -> None:
    said = refusal_of(JOB, evaluation())
    assert said is not None
    assert "the mean of the training part: its error on the held-out readings is 9.12, that of the naive" in said
    assert "8.84 (in units of orders)" in said


def test_errors_are_in_its_scale_if_they_say_another_thing_in_its_units() -> None:
    """With series that have scales of their own, the largest one decides the error in units."""
    said = refusal_of(JOB, evaluation(model=8))
    assert said is not None
    assert "is 0.456, that of the naive forecast 0.442 (in units of the scale of the target)" in said
