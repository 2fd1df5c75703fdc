"""Models, their immutable versions, and the sessions that use a version: values and protocols of their stores."""

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
    """SHA-256 of the canonical network and the digest of the weights."""
    network: dict[str, Any]
    """The network as JSON: `cellar.nn.model.spec.NetworkSpec`."""
    weights: str
    """Digest of the safetensors blob."""
    created_s: float
    parent: str | None = None
    """The version that this one was trained from, `name@3`."""
    metrics: dict[str, float] = field(default_factory=dict)
    origin: dict[str, Any] | None = None
    """The framework that its weights come from, with what an export needs (`cellar.interchange`)."""

    @property
    def ref(self) -> str:
        """Return the reference that pins this version, `name@3`."""
        return f"{self.name}@{self.version}"


class ModelStore(Protocol):
    """Stores model versions and the newest version of each name. Synchronous and safe to call from several threads."""

    def create(self, version: ModelVersion) -> tuple[ModelVersion, bool]:
        """Store the first version of a free name (`version.version` is ignored) and return it and True.

        If the name is taken, return its oldest version of the same digest and False; raise AlreadyExists if there is
        none.
        """

    def add(self, version: ModelVersion, *, token: str) -> ModelVersion:
        """Store a version under the next number (`version.version` is ignored) and make it the newest.

        A second call with the same `token` returns the version of the first.
        """

    def get(self, tenant: str, name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest if None. Raise ModelUnknown."""

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions, oldest first. Raise ModelUnknown."""

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted."""

    def uses(self, tenant: str, name: str) -> int:
        """Return the number of `ModelUses.confirm` calls for the model so far."""

    def delete(self, tenant: str, name: str, uses: int | None = None) -> list[str] | None:
        """Delete a model with all its versions; their numbers are never used again. Raise ModelUnknown.

        Return the digests of weights that no version refers to any more. With `uses` the model is deleted only if that
        is still its number of uses; else return None. The versions stay in `deleted` until `forget`.
        """

    def deleted(self, tenant: str) -> list[ModelVersion]:
        """Return the deleted versions whose sessions may not be marked yet."""

    def forget(self, version: ModelVersion) -> None:
        """Record that all sessions of a deleted version are marked."""

    def refers(self, weights: str) -> bool:
        """Return whether any version of any tenant refers to the weights with this digest."""


class Dependents(NamedTuple):
    """Numbers of sessions, shadows and snapshots that depend on a version."""

    sessions: int
    shadows: int
    snapshots: int


class ModelUses(Protocol):
    """Records which sessions depend on a version: by their model, their shadow or their snapshots."""

    async def enlist(self, key: SessionKey, ref: str) -> None:
        """Record that the session is about to depend on a version. Call `confirm` when it does."""

    async def confirm(self, key: SessionKey, ref: str) -> bool:
        """Return whether the version still exists; if so, a later deletion of the version finds the session."""

    async def count(self, tenant: str, ref: str) -> Dependents:
        """Count what depends on a version; with very many sessions the number is an upper estimate."""

    async def fence(self, tenant: str, ref: str, deleted: DeletedModel) -> list[SessionKey]:
        """Mark all sessions of a deleted version: from then on no process commits a step of them.

        Return the sessions that have a shadow of that version.
        """

    async def fence_one(self, key: SessionKey, ref: str, deleted: DeletedModel) -> bool:
        """Mark one session if it is of that version; return whether it is."""
