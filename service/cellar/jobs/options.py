"""How a job is run: its priority and its limits, which are no settings of the training."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

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
