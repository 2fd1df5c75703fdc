"""Names as they stand in paths and bodies, and what every answer is."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"
PREFIX_PATTERN = r"^[A-Za-z0-9._-]{0,128}$"
REF_PATTERN = r"^[A-Za-z0-9._-]{1,128}(@[1-9][0-9]{0,8})?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ModelRef = Annotated[
    str, Field(pattern=REF_PATTERN, description="A model by name, or one version of it: `co2`, `co2@3`.")
]

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_KEY_PATTERN = r"^[ -~]{1,255}$"

MOST_TIMEOUT_MS = 600_000
"""Ten minutes: longer than anybody holds a connection open for an answer."""


class Answer(BaseModel):
    """What the service says."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


def time_of(seconds: float) -> datetime:
    """Return seconds since the Unix epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
