"""Requests for sweeps, and answers about their trials."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, WithJsonSchema, model_validator

from cellar.api.schemas.catalogue.jobs import DataRequest, JobRequest
from cellar.api.schemas.names import ALIAS_PATTERN, Answer, time_of
from cellar.jobs.recipe.planning.settings import OPTIMISER
from cellar.jobs.sweeps.plan import Objective, objective_of, ranked
from cellar.jobs.sweeps.space import MOST_TRIALS, applied, path_of
from cellar.nn.spec.base import Frozen
from cellar.ports import Sweep, SweepState, Trial, TrialState

STAND_IN: dict[str, Any] = {"layout": "T", "inputs": [0.0], "targets": [0.0]}
"""Data with which the fields of a trial are checked; its arrays are stored elsewhere."""


MOST_PARAMETERS = 32


class RangeRequest(Frozen):
    """A range of numbers, both ends included."""

    min: float
    max: float
    scale: Literal["linear", "log"] = Field("linear", description="log: small numbers as densely as large ones.")
    integer: bool = Field(False, description="Whether only whole numbers are tried.")
    count: int | None = Field(None, ge=1, le=MOST_TRIALS, description="Number of values in a grid.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.min < self.max:
            raise ValueError(f"a min below the max of {self.max:g}, which {self.min:g} is not")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"a min above 0 for the scale log, which {self.min:g} is not")
        return self


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "range"


Value = Annotated[Any, WithJsonSchema({"description": "A value of the field."})]

Values = Annotated[
    Annotated[list[Value], Field(min_length=1, max_length=MOST_TRIALS), Tag("list")]
    | Annotated[RangeRequest, Tag("range")],
    Discriminator(_kind),
]
"""The values of a field that are tried."""


class GridSearch(Frozen):
    """Every combination of the values."""

    type: Literal["grid"] = "grid"


class RandomSearch(Frozen):
    """Combinations that are drawn from the values."""

    type: Literal["random"]
    trials: int = Field(20, ge=1, le=MOST_TRIALS, description="Number of trials.")
    seed: int = Field(0, ge=0, lt=2**63, description="Determines what is drawn.")


class HalvingSearch(Frozen):
    """Random combinations with few epochs, of which the best are trained again with more, and so on."""

    type: Literal["halving"]
    trials: int = Field(27, ge=2, le=MOST_TRIALS, description="Number of combinations at the beginning.")
    seed: int = Field(0, ge=0, lt=2**63, description="Determines what is drawn.")
    factor: int = Field(
        3, ge=2, le=10, description="Each rung has the best 1/factor of the trials, with factor times the epochs."
    )
    min_epochs: int | None = Field(
        None, ge=1, description="Least epochs of the first rung. The last has those of the job."
    )


class ExternalSearch(Frozen):
    """Trials that a client adds, one after the other, such as those of an Optuna study."""

    type: Literal["external"]


Search = Annotated[GridSearch | RandomSearch | HalvingSearch | ExternalSearch, Discriminator("type")]


class SweepPublish(Frozen):
    """How the best result is published."""

    alias: str | None = Field(None, pattern=ALIAS_PATTERN, description="An alias that is moved to the new version.")


class SweepRequest(Frozen):
    """A search for the best settings of a training job."""

    job: JobRequest = Field(description="The job, as for `POST /v1/jobs`. Each trial is this job with other values.")
    parameters: dict[str, Values] = Field(
        default_factory=dict,
        max_length=MOST_PARAMETERS,
        description="The values of fields of the job that are tried, by dotted name (`optimiser.learning_rate`) or JSON"
        " pointer (`/optimiser/learning_rate`): a list, or a range. At least one, and none with an external search.",
        examples=[{"optimiser.learning_rate": {"min": 0.0001, "max": 0.1, "scale": "log"}, "batch_size": [16, 32]}],
    )
    search: Search = Field(GridSearch(), description="How values are chosen.")
    publish: SweepPublish | None = Field(
        SweepPublish(),
        description="The best result is published as a new version of the model, under an alias if one is given."
        " null: it is not published.",
    )
    max_parallel: int = Field(8, ge=1, le=256, description="Most trials that are queued or running at a time.")
    objective: Objective = Field(
        "loss",
        description="The compared measure of the evaluation of each job: `loss` or `mae`, of which the lowest is the"
        " best, or `skill`, the share by which the loss is below that of the best naive forecast. `mae` needs a"
        " dataset.",
    )

    def template(self) -> dict[str, Any]:
        """Return the members of the job that were sent, without arrays."""
        return self.job.model_dump(mode="json", exclude_unset=True, exclude={"data"} if self.has_arrays else None)

    @property
    def has_arrays(self) -> bool:
        """Whether the data are in the request."""
        return isinstance(self.job.data, DataRequest)


def trial_request(template: Mapping[str, Any], trial: Trial) -> JobRequest:
    """Return the job of a trial. Raise InvalidInput or pydantic's ValidationError for values that it cannot have."""
    given = {"data": STAND_IN, **applied(_with_defaults(template, trial.parameters), trial.parameters)}
    return JobRequest.model_validate(given | ({} if trial.epochs is None else {"epochs": trial.epochs}))


def _with_defaults(template: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the members of a job with the defaults of those whose members are varied."""
    defaults = RECIPE if "data" in template else ARRAYS
    tops = {path[0] for path in map(path_of, names) if len(path) > 1}
    return {top: defaults[top] for top in sorted(tops) if top in defaults} | dict(template)


ARRAYS: dict[str, Any] = {"loss": {"type": "mse"}, "optimiser": {"type": "adam"}}
"""The defaults of a job on arrays."""

RECIPE: dict[str, Any] = {"loss": {"type": "mae"}, "optimiser": OPTIMISER}
"""The defaults of a job on a dataset."""


class TrialRequest(Frozen):
    """A trial of an external search."""

    parameters: dict[str, Value] = Field(
        min_length=1,
        max_length=MOST_PARAMETERS,
        description="The values of fields of the job, by dotted name or JSON pointer.",
        examples=[{"optimiser.learning_rate": 0.01}],
    )


class TrialAnswer(Answer):
    """A trial, which is a job."""

    trial: int = Field(description="Number of its parameters, from 1. Trials of later rungs have the same again.")
    rung: int = Field(description="From 0; of a halving.")
    epochs: int | None = Field(description="Epochs of the rung; null: those of the job.")
    parameters: dict[str, Any]
    job: str | None = Field(description="Its job; null as long as it waits.")
    state: TrialState
    value: float | None = Field(
        description="Loss of the result, or what else is the objective, from `evaluation` of the job; null without one."
    )
    error: str | None

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """Return the answer for a trial."""
        found = {name: value for name, value in asdict(trial).items() if name != "key"}
        return cls(trial=found.pop("number"), **found)


class SweepAnswer(Answer):
    """A sweep as it is now."""

    sweep: str
    state: SweepState
    model: str = Field(description="The version that is trained, `co2@3`.")
    search: Search
    parameters: dict[str, Values]
    publish: SweepPublish | None
    max_parallel: int
    objective: Objective
    counts: dict[TrialState, int] = Field(description="Number of trials in each state.")
    trials: list[TrialAnswer] = Field(description="The best first: later rungs, then lower losses. Empty in lists.")
    best: TrialAnswer | None = Field(description="The best trial that has succeeded so far.")
    result: str | None = Field(description="The version with the best weights, once the sweep has succeeded.")
    error: str | None = Field(description="Why the sweep has failed.")
    created: datetime
    ended: datetime | None

    @classmethod
    def of(cls, sweep: Sweep, *, with_trials: bool = True) -> Self:
        """Return the answer for a stored sweep."""
        objective = objective_of(sweep)
        order = [TrialAnswer.of(trial) for trial in ranked(sweep.trials, objective)]
        states: dict[TrialState, int] = {}
        for trial in sweep.trials:
            states[trial.state] = states.get(trial.state, 0) + 1
        succeeded = [each for each in order if each.state == "succeeded" and each.value is not None]
        return cls(
            sweep=sweep.sweep,
            state=sweep.state,
            model=sweep.spec["job"]["model"],
            **{name: sweep.spec[name] for name in ("search", "parameters", "publish", "max_parallel")},
            objective=objective,
            counts=states,
            trials=order if with_trials else [],
            best=succeeded[0] if succeeded else None,
            result=sweep.result,
            error=sweep.error,
            created=time_of(sweep.created_s),
            ended=None if sweep.ended_s is None else time_of(sweep.ended_s),
        )


class SweepsAnswer(Answer):
    """A page of sweeps, the newest first."""

    sweeps: list[SweepAnswer]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')


class CurveAnswer(Answer):
    """The losses of a trial, for a plot."""

    trial: int
    rung: int
    job: str
    epochs: list[int]
    loss: list[float]
    validation_loss: list[float | None]


class CurvesAnswer(Answer):
    """The curves of the best trials, the best first."""

    curves: list[CurveAnswer]
