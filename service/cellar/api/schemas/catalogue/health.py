"""Answers of `/healthz` and `/readyz`."""

from typing import Any, Literal

from pydantic import Field

from cellar.api.schemas.names import Answer


class HealthAnswer(Answer):
    """The process is alive."""

    status: Literal["alive"]
    version: str


class ReadyAnswer(Answer):
    """Requests can be served."""

    status: Literal["ready"]
    build: Literal["compiled", "pure"] = Field(
        description="Whether the modules that steps pass are compiled or pure Python."
    )
    store: dict[str, Any] = Field(
        description="Guarantees of the connected Redis: version, durability, eviction policy, primaries and replicas."
    )
