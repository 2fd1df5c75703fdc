"""Models: names, and versions that never change."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from cellar.ports.sessions.record import DeletedModel, SessionKey


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One immutable version of a model."""

    tenant: str
    name: str
    version: int
    digest: str
    """sha256 over the canonical network and the weights' digest."""
    network: dict[str, Any]
    """The network as JSON: `cellar.nn.spec.network.NetworkSpec`."""
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

    def uses(self, tenant: str, name: str) -> int:
        """Return how often something has begun to depend on the model (`ModelUses.confirm`)."""
        ...

    def delete(self, tenant: str, name: str, uses: int | None = None) -> list[str] | None:
        """Delete a model with all its versions; its numbers are never used again. Raise ModelUnknown.

        Return the digests of weights that no version refers to any more. With `uses` it is deleted only if nothing has
        begun to depend on it since it had so many; else return None. The versions stay in `deleted` until `forget`.
        """
        ...

    def deleted(self, tenant: str) -> list[ModelVersion]:
        """Return the deleted versions whose sessions are perhaps not told yet."""
        ...

    def forget(self, version: ModelVersion) -> None:
        """Note that all sessions of a deleted version are told."""
        ...

    def refers(self, weights: str) -> bool:
        """Return whether any version of any tenant refers to the weights with this digest."""
        ...


class Dependents(NamedTuple):
    """What depends on a version."""

    sessions: int
    shadows: int
    snapshots: int


class ModelUses(Protocol):
    """Which sessions depend on a version: by their model, their shadow or their snapshots."""

    async def enlist(self, key: SessionKey, ref: str) -> None:
        """Note that the session is about to depend on a version. Call `confirm` when it does."""
        ...

    async def confirm(self, key: SessionKey, ref: str) -> bool:
        """Return whether the version is still there; if so, whoever deletes it from now on finds the session."""
        ...

    async def count(self, tenant: str, ref: str) -> Dependents:
        """Count what depends on a version; of very many sessions the number is an estimate from above."""
        ...

    async def fence(self, tenant: str, ref: str, deleted: DeletedModel) -> list[SessionKey]:
        """Mark all sessions of a version: none of them commits a step from then on, in any process.

        Return the sessions that have a shadow of that version.
        """
        ...

    async def fence_one(self, key: SessionKey, ref: str, deleted: DeletedModel) -> bool:
        """Mark one session, if it is of that version; return whether it is marked now."""
        ...
