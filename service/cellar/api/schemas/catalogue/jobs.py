"""Requests for training jobs with their data and settings, and answers about their progress."""

import functools
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag

from cellar.api.schemas.names import MODEL_PATTERN, Answer, Layout, ModelRef, time_of
from cellar.api.schemas.numbers import Counts, Data, DataWithGaps, NestedFlags
from cellar.errors import ShapeMismatch
from cellar.jobs.attempt.checkpoint import EVALUATION
from cellar.jobs.options import JobOptions, Priority, Publish, publish_of, training_spec
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.submission.resumption import RESUME_FROM
from cellar.jobs.warnings import evaluation_of, warnings_of
from cellar.nn.model.layers import Layers
from cellar.nn.spec.base import Frozen
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.shards.team import SHARDS
from cellar.nn.training.spec import TrainingSpec
from cellar.ports import Job, JobState
from cellar.wire.arrays.gaps import parse_flags, parse_gaps
from cellar.wire.arrays.layout import check_layout, parse_layout


class PairRequest(Frozen):
    """Inputs and targets, as nested arrays in the layout of the data."""

    inputs: Data = Field(description="Nested arrays of numbers, with an axis for each letter of the layout.")
    targets: DataWithGaps = Field(
        description="Nested arrays of numbers, with the same axes, aligned with the end of the inputs. null: a target"
        " that does not count."
    )
    lengths: Counts | None = Field(
        None, description="The steps of each row. What follows in inputs, targets, mask and weights is not read."
    )
    mask: NestedFlags | None = Field(
        None,
        description="Nested booleans, or zeros and ones, with the axes of the targets: which of them count. The axis F"
        " may have length 1.",
    )
    weights: Data | None = Field(
        None,
        description="Nested numbers from 0, with the axes of the targets: how much each of them counts. The axis F may"
        " have length 1.",
    )

    def part(self, layout: str, pointer: str, validation: Dataset | None = None) -> Dataset:
        """Return the arrays as (T, B, F). Raise InvalidInput, ShapeMismatch or NotFinite below `pointer`."""
        inputs = parse_layout(self.inputs, layout, f"{pointer}/inputs")
        targets, known = parse_gaps(self.targets, layout, f"{pointer}/targets")
        weights = [] if known is None else [known]
        for name, value, read in (("mask", self.mask, parse_flags), ("weights", self.weights, parse_layout)):
            if value is not None:
                weights.append(_of_targets(read(value, layout, f"{pointer}/{name}"), targets, f"{pointer}/{name}"))
        lengths = None if self.lengths is None else np.array(self.lengths, np.int32)
        return Dataset(inputs, targets, validation, lengths, _product(weights))


class DataRequest(PairRequest):
    """A dataset."""

    layout: Layout = Field("TBF", description="Axis letters: T steps, B rows, F features, in any order; `TF`, `T`, ...")
    validation: PairRequest | None = Field(None, description="Data that are measured and not trained on.")

    def dataset(self) -> Dataset:
        """Return the arrays. Raise InvalidInput, ShapeMismatch or NotFinite with a pointer."""
        layout = check_layout(self.layout, pointer="/data/layout")
        held_out = self.validation.part(layout, "/data/validation") if self.validation else None
        return self.part(layout, "/data", held_out)


def _of_targets(weights: NDArray[np.float32], targets: NDArray[np.float32], pointer: str) -> NDArray[np.float32]:
    """Return weights (T, B, F), where F may be 1. Raise ShapeMismatch unless they are those of the targets."""
    if weights.shape not in (targets.shape, (*targets.shape[:2], 1)):
        raise ShapeMismatch(
            "expected the axes of the targets",
            pointer=pointer,
            expected=str(targets.shape),
            actual=str(weights.shape),
        )
    return weights


def _product(weights: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Return the product of weights: (T, B) if all targets of a step have the same, otherwise (T, B, F)."""
    if not weights:
        return None
    found = functools.reduce(np.multiply, weights)
    same = bool((found == found[:, :, :1]).all())
    return np.ascontiguousarray(found[:, :, 0] if same else found)


def _data_kind(value: Any) -> str:
    if isinstance(value, ForecastData):
        return "forecast"
    return "forecast" if isinstance(value, dict) and "dataset" in value else "arrays"


JobData = Annotated[
    Annotated[DataRequest, Tag("arrays")] | Annotated[ForecastData, Tag("forecast")], Discriminator(_data_kind)
]


class JobRequest(TrainingSpec):
    """A training job: a model, its data and the settings of the run."""

    model: ModelRef = Field(description="The model to train. With a dataset it may be a new name.")
    data: JobData = Field(description="Arrays, or the columns of a dataset of which forecasts are learnt.")
    layers: Layers | None = Field(
        None,
        description="With a dataset and a new model: the layers between the readings and the forecast, in place of"
        " those that the recipe chooses. A dense layer with as many outputs as the forecast follows them.",
    )
    publish: Publish = Field(
        "if_better",
        description="if_better: a result whose loss is more than 1% above that of the trained version is not"
        " published, and the job fails. The loss of the validation data counts, or that of the"
        " training data if there are none. always: the result is published in any case.",
    )

    priority: Priority = Field("normal", description="Workers take jobs of a higher priority first.")
    max_seconds: float | None = Field(
        None,
        gt=0,
        le=31_536_000,
        description="Time that the job may run. After it the training ends with the weights so far; if no epoch has"
        " ended by then, the job fails.",
    )
    max_memory_bytes: int | None = Field(
        None,
        ge=1,
        le=2**53,
        description="Memory that the process of the job may take. Windows are divided into segments so that it is"
        " enough; a job that needs more is refused, and one that takes more fails.",
    )

    resume_from: str | None = Field(
        None,
        pattern=MODEL_PATTERN,
        description="The name of a job that has ended. This one continues it, with its last weights, the state of its"
        " optimiser and the place of its schedule, for `epochs` more. The model has the same network.",
    )

    processes: int | None = Field(
        None,
        ge=1,
        le=SHARDS,
        description="Processes that share each batch, for large networks and batches: it is divided into 8 shards,"
        " whose gradients are summed in a fixed order. The weights are the same for every number, and others than"
        " without this field.",
    )

    def options(self) -> JobOptions:
        """Return how the job is run."""
        return JobOptions(self.priority, self.max_seconds, self.max_memory_bytes, self.processes)

    def layers_sent(self) -> list[Any] | None:
        """Return the layers of the request as JSON."""
        return None if self.layers is None else [each.model_dump(mode="json") for each in self.layers]

    @property
    def arrays(self) -> DataRequest:
        """The data, if they are arrays."""
        assert isinstance(self.data, DataRequest)
        return self.data

    def training(self) -> TrainingSpec:
        """Return the settings of the run alone. It knows which of them were sent."""
        sent = self.model_fields_set & TrainingSpec.model_fields.keys()
        return TrainingSpec.model_construct(**{name: getattr(self, name) for name in sent})


class TargetErrors(Answer):
    """Mean absolute errors of the forecasts of a target over the same readings. null: not known."""

    model: float | None = Field(description="Of the result.")
    last_value: float | None = Field(description="Of the forecast that repeats the last value.")
    seasonal_value: float | None = Field(description="Of the forecast that repeats the value of a period before.")
    mean: float | None = Field(description="Of the forecast that is the mean of the training part.")


class EvaluationAnswer(Answer):
    """Mean losses over the same steps, without dropout. null: not finite, or not defined."""

    data: Literal["training", "validation"] = Field(
        description="The steps that were measured: of the validation data if there are any."
    )
    loss: float | None = Field(description="Loss with the resulting weights.")
    before: float | None = Field(description="Loss with the weights of the trained version.")
    last_value: float | None = Field(
        description="Loss of the forecast that repeats the last value. null if the targets are not inputs of"
        " later steps."
    )
    seasonal_value: float | None = Field(
        description="Loss of the forecast that repeats the value of a period before. null without a period, and where"
        " `last_value` is."
    )
    mean: float | None = Field(
        description="Loss of the forecast that is the mean of the training part. null where `last_value` is."
    )
    period: int | None = Field(description="The period of the seasonal value, steps.")
    mae: float | None = Field(description="Mean absolute error in the units of the targets. null without a dataset.")
    by_target: dict[str, TargetErrors] | None = Field(
        description="Mean absolute errors of each target in the units of its column. null without a dataset."
    )
    better_by: dict[str, float] | None = Field(
        description="By which share `loss` is below that of each naive forecast: 0.2 is 20% less. Negative: above it."
    )


class ChoiceAnswer(Answer):
    """A setting that the job has chosen."""

    field: str = Field(description="A field of the job, or a part of the network.")
    value: Any
    why: str = Field(description="The reason, as a sentence.")


class JobAnswer(Answer):
    """A job as it is now."""

    job: str
    state: JobState
    model: str = Field(description="The version that is trained, `co2@3`.")
    data: ForecastData | None = Field(
        None,
        exclude_if=lambda data: data is None,
        description="The columns of the dataset that are forecast, as sent. Only of a job on a dataset.",
    )
    training: TrainingSpec = Field(description="The settings of the run, as sent or chosen.")
    resume_from: str | None = Field(description="The job that this one continues.")
    publish: Publish = Field(description="Whether a result is published that is worse than the trained version.")
    priority: Priority
    max_seconds: float | None = Field(description="Time that the job may run, seconds. null: no limit.")
    max_memory_bytes: int | None = Field(description="Memory that its process may take, bytes. null: no limit.")
    processes: int | None = Field(description="Processes that share each batch. null: batches are not divided.")
    updates_total: int | None = Field(
        description="Number of weight updates of the whole run; an upper limit if it may stop early. null for an"
        " old job."
    )
    memory_bytes: int | None = Field(
        description="Memory that the worker needs for the job at most, bytes. null for an old job."
    )
    chosen: list[ChoiceAnswer] = Field(
        description="The settings that the job has chosen, and why. Empty without a dataset."
    )
    warnings: list[str] = Field(description="Probable mistakes: few updates, or a result that is no better.")
    attempt: int = Field(description="Number of workers that have started the job: 2 after one was killed.")
    progress: dict[str, Any] = Field(description="The last report: epoch, epochs, loss and more.")
    history: list[dict[str, Any]] = Field(
        description="An entry for each finished epoch, for the newest 1,000. `GET /v1/jobs/{job}/history` has all."
    )
    evaluation: EvaluationAnswer | None = Field(description="Losses of the result, once the training has ended.")
    result: str | None = Field(description="The new version, once the job has succeeded.")
    error: str | None = Field(description="Why the job has failed.")
    created: datetime
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of(cls, job: Job, history: list[dict[str, Any]]) -> Self:
        """Return the answer for a stored job and its finished epochs."""
        evaluation = evaluation_of(job)
        measured = None if evaluation is None else asdict(evaluation) | {"better_by": evaluation.better_by}
        return cls.read(
            job,
            model=job.spec["model"],
            data=_forecast_data(job),
            training=training_spec(job),
            resume_from=job.spec.get(RESUME_FROM),
            publish=publish_of(job),
            **asdict(JobOptions.of(job)),
            updates_total=job.spec.get("updates_total"),
            memory_bytes=job.spec.get("memory_bytes"),
            chosen=[ChoiceAnswer(**each) for each in job.spec.get("plan", {}).get("chosen", ())],
            warnings=warnings_of(job),
            progress={name: value for name, value in job.progress.items() if name != EVALUATION},
            history=history,
            evaluation=None if measured is None else EvaluationAnswer(**measured),
            created=time_of(job.created_s),
            started=None if job.started_s is None else time_of(job.started_s),
            ended=None if job.ended_s is None else time_of(job.ended_s),
        )


def _forecast_data(job: Job) -> ForecastData | None:
    """Return the columns that a job on a dataset forecasts, None for a job on arrays."""
    return ForecastData.model_validate(job.spec["asked"]["data"]) if "plan" in job.spec else None


class EpochAnswer(Answer):
    """A finished epoch. Losses are means over all steps that count."""

    epoch: int = Field(description="The number of the epoch, from 1.")
    loss: float | None = Field(description="Loss of the training data. null: not known.")
    validation_loss: float | None = Field(description="Loss of the validation data. null without any.")
    learning_rate: float | None = Field(description="Learning rate of the last update. null: not known.")


class JobHistoryAnswer(Answer):
    """A page of the finished epochs of a job, the oldest first."""

    job: str
    epochs: list[EpochAnswer]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')

    @classmethod
    def of(cls, job: str, epochs: list[dict[str, Any]], after: int | None) -> Self:
        """Return the answer for epochs as they are stored, and the number of the last one if there may be more."""
        names = EpochAnswer.model_fields
        found = [EpochAnswer(**{name: each.get(name) for name in names}) for each in epochs]
        return cls(job=job, epochs=found, cursor="" if after is None else str(after))


class JobsAnswer(Answer):
    """A page of jobs, the newest first."""

    jobs: list[JobAnswer]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')
