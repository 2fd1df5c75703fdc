"""Decides whether the result of a job is good enough to be published."""

from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.ports import Job

NAIVE = {
    "last_value": "repeating the last value",
    "seasonal_value": "repeating the value of a period before",
    "mean": "the mean of the training part",
}
"""The naive forecasts in words."""


def refusal_of(job: Job, evaluation: Evaluation) -> str | None:
    """Return why the result of a job is not published, and what its owner can do; None if it is published.

    A job on a dataset must be better than the naive forecasts too.
    """
    loss = _text(evaluation.loss)
    if evaluation.worse and "@" in job.spec["model"]:
        return (
            f"not published, because the training has made the model worse: its {evaluation.data} loss is {loss}, that"
            f' of {job.spec["model"]} is {_text(evaluation.before)}. Lower the learning rate, or send "publish":'
            ' "always" to publish the result anyway'
        )
    if "plan" in job.spec and evaluation.beaten and evaluation.best_naive is not None:
        return (
            f"not published, because the model is no better than {NAIVE[evaluation.best_naive]}: its error on the"
            f" held-out readings is {_errors(evaluation, evaluation.best_naive)}."
            ' More readings or other inputs may help; send "publish": "always" to publish it anyway'
        )
    return None


def _errors(evaluation: Evaluation, naive: str) -> str:
    """Return both errors in words: in units of the target, if there is one, and they say the same there."""
    if evaluation.by_target is not None and len(evaluation.by_target) == 1:
        ((target, errors),) = evaluation.by_target.items()
        model, other = errors["model"], errors[naive]
        if model is not None and other is not None and model >= other:
            return f"{_text(model)}, that of the naive forecast {_text(other)} (in units of {target})"
    scaled = _text(evaluation.naive[naive])
    return f"{_text(evaluation.loss)}, that of the naive forecast {scaled} (in units of the scale of the target)"


def _text(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.3g}"
