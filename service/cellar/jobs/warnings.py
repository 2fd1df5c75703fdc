"""Warnings about a training job, and the evaluation of its result."""

from cellar.jobs.attempt.checkpoint import ENDED_BY, EVALUATION
from cellar.jobs.verdict import NAIVE
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.ports import Job

FEW_UPDATES = 100
"""Fewer updates than this change the weights little, with any optimiser."""


def evaluation_of(job: Job) -> Evaluation | None:
    """Return the evaluation of a job's result, None before its training has ended."""
    found = job.progress.get(EVALUATION)
    return None if found is None else Evaluation(**found)


def warnings_of(job: Job) -> list[str]:
    """Return warnings, as sentences, about settings or results that are probably not intended."""
    updates, evaluation = job.spec.get("updates_total"), evaluation_of(job)
    return [
        *job.spec.get("plan", {}).get("warnings", ()),
        *([_few(updates)] if updates is not None and updates < FEW_UPDATES else []),
        *([_cut(job)] if ENDED_BY in job.progress else []),
        *([] if evaluation is None else _judge(evaluation)),
    ]


def _few(updates: int) -> str:
    count = "one update" if updates == 1 else f"{updates} updates"
    return (
        f"the whole run has {count} of the weights, and fewer than {FEW_UPDATES} seldom train a model: send"
        " more epochs, a smaller batch_size or a shorter window"
    )


def _cut(job: Job) -> str:
    progress = job.progress
    return (
        f"the training was ended by {progress[ENDED_BY]} in epoch {progress['epoch']} of {progress['epochs']}: its"
        " result depends on the speed of the machine"
    )


def _judge(evaluation: Evaluation) -> list[str]:
    found = []
    if evaluation.worse:
        found.append(f"the {evaluation.data} loss is higher than that of the version that the job began with")
    if evaluation.beaten:
        name = NAIVE[evaluation.best_naive or "last_value"]
        found.append(f"{name} is as good a forecast: its {evaluation.data} loss is no higher")
    return found
