"""How a job is run: its priority and its limits, and what its stored specification says of training and result."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self, get_args

from cellar.nn.training.spec import TrainingSpec
from cellar.ports import Job

Priority = Literal["high", "normal", "low"]

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""In the order in which workers take their jobs."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The priority of a job and the most that it may take; None: no limit."""

    priority: Priority = "normal"
    max_seconds: float | None = None
    """Time that its attempts may run in all."""
    max_memory_bytes: int | None = None
    """Memory of the worker's process, all included."""
    processes: int | None = None
    """Processes that share each batch; None: one, whose batches are not divided into shards."""

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the options of a stored job."""
        return cls(**{name: job.spec[name] for name in OPTIONS if name in job.spec})

    def members(self) -> dict[str, Any]:
        """Return those that differ from the defaults, as members of a job's spec."""
        defaults = asdict(JobOptions())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


DEFAULTS = JobOptions()

OPTIONS = tuple(asdict(JobOptions()))
"""Their names."""

Publish = Literal["if_better", "always"]
"""`if_better`: a result that is worse than the version that the training began with is not published."""


def training_spec(job: Job) -> TrainingSpec:
    """Return the training settings of a job: its request without model and data."""
    fields = {name: value for name, value in job.spec.items() if name in TrainingSpec.model_fields}
    return TrainingSpec.model_validate_json(json.dumps(fields))


def publish_of(job: Job) -> Publish:
    """Return when the result of a job is published; `always` for jobs stored before there was this setting."""
    found: Publish = job.spec.get("publish", "always")
    return found


class JobQuota(Protocol):
    """Refuses jobs beyond the quotas of their tenant."""

    def admit_job(self, tenant: str, dataset_bytes: int) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a job that may not be made."""

    def admit_dataset(self, tenant: str, dataset_bytes: int) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for data of a sweep that may not be kept."""
