"""The answer of `/v1/limits`: what the tenant may use and uses, and the limits of the service."""

from typing import Literal, Self

from pydantic import Field

from cellar.api.schemas.names import Answer
from cellar.quotas.quotas import LimitState
from cellar.settings.limit_table import MACHINE, QUOTAS, variable


class QuotaAnswer(Answer):
    """A quota of the tenant."""

    name: str = Field(description="The name of the quota, as `quota` of a refusal has it.")
    unit: str
    limit: float | None = Field(description="The limit; null if there is none.")
    used: float | None = Field(description="How much is used, as far as it is known; null otherwise.")
    limit_of_all: float | None = Field(description="The limit of all tenants together; null if there is none.")
    setting: str = Field(description="The environment variable of the limit of each tenant.")
    source: Literal["setting", "tenant"] = Field(
        description="`tenant`: the limit is this tenant's own, of `cellar keys limits`; `setting`: that of the setting."
    )

    @classmethod
    def of(cls, state: LimitState, limit_of_all: float | None) -> Self:
        """Return the answer about a quota."""
        quota = QUOTAS[state.name]
        return cls(
            name=state.name,
            unit=quota.unit,
            limit=state.limit,
            used=state.used,
            limit_of_all=limit_of_all,
            setting=variable(quota.of_tenant),
            source="tenant" if state.is_own else "setting",
        )


class ServiceLimitAnswer(Answer):
    """A limit of the service, which holds for each of its processes or requests."""

    limits: str = Field(description="The limited quantity.")
    limit: float | None = Field(description="The limit; null if there is none.")
    setting: str = Field(description="The environment variable that sets it.")
    refusal: str = Field(description="The status and the problem at the limit.")


class LimitsAnswer(Answer):
    """The quotas of the caller's tenant, and the limits of the service."""

    tenant: str
    quotas: list[QuotaAnswer]
    service: list[ServiceLimitAnswer]


def service_limits(values: dict[str, float | None]) -> list[ServiceLimitAnswer]:
    """Return the limits of the service with these values, by setting."""
    return [
        ServiceLimitAnswer(limits=what, limit=values[setting], setting=variable(setting), refusal=refused)
        for setting, (what, refused) in MACHINE.items()
        if setting in values
    ]
