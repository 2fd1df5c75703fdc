"""Settings of quotas: what each tenant may use, and what all tenants together may use (`limit_table.py`)."""

from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cellar.settings.limit_table import QUOTAS


def _of_tenant(name: str) -> Any:
    quota = QUOTAS[name]
    return Field(None, ge=0, description=f"{quota.most} of each tenant. Default: no limit.")


def _of_all(name: str) -> Any:
    quota = QUOTAS[name]
    return Field(None, ge=0, description=f"{quota.most} of all tenants together. Default: no limit.")


class QuotaSettings(BaseSettings):
    """The quotas. `cellar keys limits` gives a tenant others."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    tenant_steps_per_second: float | None = _of_tenant("steps_per_second")
    tenant_steps_in_flight: int | None = _of_tenant("steps_in_flight")
    tenant_streams: int | None = _of_tenant("streams")
    tenant_connections: int | None = _of_tenant("connections")
    tenant_sessions: int | None = _of_tenant("sessions")
    tenant_state_bytes: int | None = _of_tenant("state_bytes")
    tenant_models: int | None = _of_tenant("models")
    tenant_parameters: int | None = Field(
        None, ge=0, description="Most parameters of one model of each tenant. Default: no limit."
    )
    tenant_compilations_per_hour: float | None = _of_tenant("compilations_per_hour")
    tenant_jobs: int | None = _of_tenant("jobs")
    tenant_dataset_bytes: int | None = _of_tenant("dataset_bytes")

    max_steps_per_second: float | None = _of_all("steps_per_second")
    max_sessions: int | None = _of_all("sessions")
    max_state_bytes: int | None = _of_all("state_bytes")
    max_models: int | None = _of_all("models")
    max_parameters: int | None = Field(None, ge=0, description="Most parameters of one model. Default: no limit.")
    max_compilations_per_hour: float | None = _of_all("compilations_per_hour")
    max_jobs: int | None = _of_all("jobs")
    max_dataset_bytes: int | None = _of_all("dataset_bytes")
