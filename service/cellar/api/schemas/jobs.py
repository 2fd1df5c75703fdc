"""Training jobs: what is trained on what, and how far it is."""

from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cellar.api.schemas.names import Answer, ModelRef, time_of
from cellar.errors import ShapeMismatch
from cellar.jobs.submission import training_spec
from cellar.nn.spec import Frozen
from cellar.nn.training import Dataset, TrainingSpec
from cellar.ports import Job, JobState
from cellar.wire.layout import check_layout, to_tbf
from cellar.wire.numbers import depth_of, parse_array

Numbers = Any
"""Nested arrays of numbers: read by `cellar.wire.numbers`, which is stricter than pydantic and says where."""


class PairRequest(Frozen):
    """Inputs and what should come out, as nested arrays in the layout of the data."""

    inputs: Numbers = Field(description="Nested arrays of numbers, an axis for each letter of the layout.")
    targets: Numbers = Field(description="The same for the outputs, aligned with the end of the inputs.")

    def arrays(self, layout: str, pointer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return inputs and targets as (T, B, F). Raise InvalidInput with a pointer that begins with `pointer`."""
        inputs, targets = (
            _read(value, layout, f"{pointer}/{name}")
            for name, value in (("inputs", self.inputs), ("targets", self.targets))
        )
        return inputs, targets


def _read(value: Numbers, layout: str, pointer: str) -> NDArray[np.float32]:
    """Return nested arrays as (T, B, F). Where their depth is not that of the layout, the error says what it asks."""
    try:
        return to_tbf(parse_array(value, pointer=pointer, ndim=len(layout)), layout)
    except ShapeMismatch as error:
        if depth_of(value) == len(layout):
            raise
        features = ", and an axis F holds a single feature or a class index as [2], not as 2" if "F" in layout else ""
        raise ShapeMismatch(
            f"{error.detail}; layout {layout!r} nests an array for each letter{features}",
            pointer=error.pointer,
            expected=error.expected,
            actual=error.actual,
        ) from error


class DataRequest(PairRequest):
    """A dataset."""

    layout: str = Field("TBF", description="Axis letters: T steps, B rows, F features, in any order; `TF`, `T`, ...")
    validation: PairRequest | None = Field(None, description="Data to measure on that is not trained on.")

    def dataset(self) -> Dataset:
        """Return the arrays. Raise InvalidInput, ShapeMismatch or NotFinite with a pointer."""
        layout = check_layout(self.layout, pointer="/data/layout")
        inputs, targets = self.arrays(layout, "/data")
        held_out = self.validation.arrays(layout, "/data/validation") if self.validation else None
        return Dataset(inputs, targets, held_out)


class JobRequest(TrainingSpec):
    """A training job: a model, its data and the settings of the run."""

    model: ModelRef
    data: DataRequest

    def training(self) -> TrainingSpec:
        """Return the settings of the run alone."""
        return TrainingSpec.model_construct(**{name: getattr(self, name) for name in TrainingSpec.model_fields})


class JobAnswer(Answer):
    """A job as it is now."""

    job: str
    state: JobState
    model: str = Field(description="The version that is trained, `co2@3`.")
    training: TrainingSpec = Field(description="The settings of the run, defaults filled in.")
    attempt: int = Field(description="How many workers have begun it: 2 after one was killed.")
    progress: dict[str, Any] = Field(description="epoch, epochs, loss and more, as of the last report.")
    history: list[dict[str, Any]] = Field(description="A line for each finished epoch, of the newest 1,000.")
    result: str | None = Field(description="The new version, once the job has succeeded.")
    error: str | None = Field(description="Why the job has failed.")
    created: datetime
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of(cls, job: Job, history: list[dict[str, Any]]) -> Self:
        """Return the answer for a stored job and its finished epochs."""
        return cls(
            job=job.job,
            state=job.state,
            model=job.spec["model"],
            training=training_spec(job),
            attempt=job.attempt,
            progress=job.progress,
            history=history,
            result=job.result,
            error=job.error,
            created=time_of(job.created_s),
            started=None if job.started_s is None else time_of(job.started_s),
            ended=None if job.ended_s is None else time_of(job.ended_s),
        )


class JobsAnswer(Answer):
    """The newest jobs first."""

    jobs: list[JobAnswer]
