"""Models: names, and versions that never change."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One immutable version of a model."""

    tenant: str
    name: str
    version: int
    digest: str
    """sha256 over the canonical network and the weights' digest."""
    network: dict[str, Any]
    """The network as JSON: `cellar.nn.spec.NetworkSpec`."""
    weights: str
    """Digest of the safetensors blob."""
    created_s: float
    parent: str | None = None
    """The version this one was trained from, `name@3`."""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """Return the name that pins this version."""
        return f"{self.name}@{self.version}"


class ModelStore(Protocol):
    """Model versions and their aliases. Synchronous and safe to call from several threads."""

    def create(self, version: ModelVersion) -> tuple[ModelVersion, bool]:
        """Store the first version of a name that is free (`version.version` is ignored); say that it is new.

        If the name is taken, return its oldest version of the same digest, and raise AlreadyExists if it has none.
        """
        ...

    def add(self, version: ModelVersion, *, token: str) -> ModelVersion:
        """Store a version under the next free number (`version.version` is ignored) and move the alias to it.

        `token` makes it idempotent: the same token returns the version that it made before.
        """
        ...

    def get(self, tenant: str, name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest if None. Raise ModelUnknown."""
        ...

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions, oldest first. Raise ModelUnknown."""
        ...

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted."""
        ...

    def delete(self, tenant: str, name: str) -> list[str]:
        """Delete a model with all its versions; its numbers are never used again. Raise ModelUnknown.

        Return the digests of weights that no version refers to any more.
        """
        ...

    def refers(self, weights: str) -> bool:
        """Return whether any version of any tenant refers to the weights with this digest."""
        ...
