"""Settings of the processes that run training jobs."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class JobSettings(BaseSettings):
    """Settings of the processes that run training jobs."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    job_processes: int = Field(
        8,
        ge=1,
        le=8,
        description="Most processes of a training job that asks for several; no more than the machine has processors."
        " The weights do not depend on it. Default: 8.",
    )
    job_nice: int = Field(
        10,
        ge=0,
        le=19,
        description="Nice value of a training job. With 10 it has a tenth of a processor that others want too; 0 is"
        " for machines that do nothing else. Default: 10.",
    )
    job_lease_s: float = Field(
        5,
        gt=0,
        le=60,
        description="Time without a sign of life after which a training attempt counts as dead, seconds. Default: 5.",
    )
    job_sweep_s: float = Field(
        1,
        gt=0,
        le=60,
        description="Interval at which the service looks for jobs without a worker, seconds. Default: 1.",
    )
    job_stall_s: float = Field(
        1800,
        gt=0,
        description="Time without an update of the weights after which a training job has failed, seconds."
        " Default: 1800.",
    )
    job_retained_s: float = Field(
        86400,
        ge=0,
        description="How long the data and checkpoints of a failed or cancelled job are kept, so that it can be tried"
        " again, and the last checkpoint of a succeeded one, so that another can resume from it, seconds. Default:"
        " 86400.",
    )
