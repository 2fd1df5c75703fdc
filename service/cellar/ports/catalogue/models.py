"""Models, their versions and aliases, and the sessions that use a version: values and protocols of their stores."""

from collections.abc import Collection, Sequence
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
    tags: tuple[str, ...] = ()
    """Words that its owner has given it. Tags and description are all of a version that can be changed."""
    description: str | None = None

    @property
    def ref(self) -> str:
        """Return the reference that pins this version, `name@3`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one version of a model, which can be moved to another version."""

    tenant: str
    name: str
    """The name of the model."""
    alias: str
    version: int
    moved_ms: int
    """When it was moved last, in milliseconds since the Unix epoch. Two moves of a tenant never have the same."""

    @property
    def ref(self) -> str:
        """Return the reference of its version, `name@3`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class AliasMove:
    """The result of moving an alias."""

    alias: Alias
    before: int | None
    """The version that it had before, None if it is new."""

    @property
    def changed(self) -> bool:
        """Whether it had another version before."""
        return self.before != self.alias.version


ANY_VERSION = -1
"""As the expected version of an alias: whichever it has, or none."""


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

    def page(self, tenant: str, name: str, after: int, limit: int) -> tuple[list[ModelVersion], int]:
        """Return up to `limit` versions with a number above `after`, oldest first, and where the next page begins.

        That is 0 on the last page. Raise ModelUnknown.
        """

    def listed(self, tenant: str, names: Sequence[str]) -> list[tuple[list[ModelVersion], list[Alias]]]:
        """Return all versions and aliases of each of these models, without those that are gone."""

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted."""

    def describe(
        self, version: ModelVersion, *, tags: Sequence[str] | None = None, description: str | None = None
    ) -> ModelVersion:
        """Set the tags or the description of a version, or both, and return it as it is then.

        None leaves the value as it is; an empty description removes it. Raise ModelUnknown.
        """

    def aliases(self, tenant: str, name: str) -> list[Alias]:
        """Return the aliases of a model by name; empty if there is no such model."""

    def alias(self, tenant: str, name: str, alias: str) -> Alias | None:
        """Return an alias, None if there is none."""

    def move_alias(self, alias: Alias, expected: int | None = ANY_VERSION) -> AliasMove:
        """Let an alias name the version `alias.version`, if it has the `expected` one now (None: if it is new).

        An alias that has the version already stays as it is. `alias.moved_ms` is the present time, and the result has
        a later one if another alias was moved in the same millisecond. Raise ModelUnknown, or AliasMoved with the
        present version.
        """

    def delete_alias(self, alias: Alias, expected: int | None = ANY_VERSION) -> None:
        """Delete an alias; `alias.version` does not count. Raise AliasUnknown, or AliasMoved."""

    def aliases_moved_ms(self, tenant: str) -> int:
        """Return when an alias of the tenant was moved or deleted last; 0: never."""

    def uses(self, tenant: str, name: str) -> int:
        """Return a number that grows with each `ModelUses.confirm` for the model, and each move of its aliases."""

    def delete(
        self, tenant: str, name: str, version: int | None = None, *, uses: int | None = None
    ) -> list[str] | None:
        """Delete a version, or a model with all its versions, and the aliases of what is deleted. Raise ModelUnknown.

        The numbers of versions are never used again. Return the digests of weights that no version refers to any more.
        With `uses` nothing is deleted unless that is still the model's number of uses; else return None. The versions
        stay in `deleted` until `forget`.
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

    async def version(self, tenant: str, ref: str) -> ModelVersion | None:
        """Return the version that `name` or `name@3` means now, without tags and description; None if there is none."""

    async def enlist(self, key: SessionKey, ref: str) -> None:
        """Record that the session is about to depend on a version. Call `confirm` when it does."""

    async def confirm(self, key: SessionKey, ref: str, *, runs: bool = True) -> bool:
        """Return whether the version still exists; if so, a later deletion of the version finds the session.

        `runs` is whether the version runs the session itself, and not its shadow.
        """

    async def count(self, tenant: str, ref: str, moved: Collection[str] = ()) -> Dependents:
        """Count what depends on a version; with very many sessions the number is an upper estimate.

        Sessions that follow one of the aliases `moved` are not counted: their next step runs on another version.
        """

    async def fence(self, tenant: str, ref: str, deleted: DeletedModel) -> list[SessionKey]:
        """Mark all sessions of a deleted version: from then on no process commits a step of them.

        Return the sessions that have a shadow of that version.
        """

    async def fence_one(self, key: SessionKey, ref: str, deleted: DeletedModel) -> bool:
        """Mark one session if it is of that version; return whether it is."""
