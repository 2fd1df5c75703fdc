"""Requests that move aliases, and answers about them."""

from datetime import datetime
from typing import Self

from pydantic import Field

from cellar.api.schemas.names import Answer, time_of
from cellar.nn.spec.base import Frozen
from cellar.ports import ANY_VERSION, Alias

MOST_VERSION = 999_999_999
"""The largest number of a version that a reference can name."""


class AliasRequest(Frozen):
    """The version that an alias shall name."""

    version: int = Field(ge=1, le=MOST_VERSION, description="Number of the version.")
    expected: int | None = Field(
        None,
        ge=1,
        le=MOST_VERSION,
        description="The alias is moved only if it names this version now, with `null` only if it does not exist."
        " Without this member it is moved in any case.",
    )

    @property
    def expected_version(self) -> int | None:
        """Return the version that the alias must have, None if it must be new, or ANY_VERSION."""
        return self.expected if "expected" in self.model_fields_set else ANY_VERSION


class AliasAnswer(Answer):
    """An alias, and the version that it names."""

    alias: str
    name: str = Field(description="The model.")
    model: str = Field(description="The version: `co2@3`.")
    version: int
    moved: datetime = Field(description="When it began to name this version.")

    @classmethod
    def of(cls, alias: Alias) -> Self:
        """Return the answer for a stored alias."""
        moved = time_of(alias.moved_ms / 1000)
        return cls(alias=alias.alias, name=alias.name, model=alias.ref, version=alias.version, moved=moved)


class MovedAlias(AliasAnswer):
    """An alias after it was moved."""

    before: int | None = Field(None, description="The version that it named before; null if it is new.")


class AliasesAnswer(Answer):
    """The aliases of a model, by name."""

    aliases: list[AliasAnswer]
