"""Deletes models, and single versions, that sessions, jobs, shadows, snapshots or aliases may depend on.

A deletion with dependents is refused with their numbers, or forced. A forced deletion first removes the versions from
the store and then marks each of their sessions in the store, so that no process commits a step of them; then the
request is answered. The store lists the deletions that are not finished, so if a process dies, another one finishes
them.

A session that follows an alias does not depend on the version that it runs if the alias names another version by now
that can take over its state: its next step runs on that version, also if the session was marked in between.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cellar.errors import ModelInUse, ModelUnknown, StoreUnavailable
from cellar.ports import Alias, Dependents, ModelUses, ModelVersion, SessionKey, ShadowStore
from cellar.sessions.execution.model_cache import ModelCache
from cellar.sessions.values.deleted_model import known_of
from cellar.sessions.values.model_protocol import Sizes, difference

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""Seconds between two searches for deletions that another process has not finished."""


class Catalogue(Protocol):
    """The methods of `cellar.models.registry.Registry` that a deletion needs. Called on threads."""

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version `name@3`. Raise ModelUnknown."""

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions of a model. Raise ModelUnknown."""

    def aliases(self, tenant: str, name: str) -> list[Alias]:
        """Return the aliases of a model. Raise ModelUnknown."""

    def sizes(self, version: ModelVersion) -> Sizes:
        """Return the sizes of the network of a version."""

    def uses(self, tenant: str, name: str) -> int:
        """Return a counter that grows whenever something begins to depend on a model."""

    def delete(self, tenant: str, name: str, version: int | None = None, *, uses: int | None = None) -> bool:
        """Delete a version or a model, with `uses` only if the counter still has this value; return whether it was.

        Raise ModelUnknown.
        """

    def deleted(self, tenant: str) -> Sequence[ModelVersion]:
        """Return the deleted versions whose sessions may not all be marked yet."""

    def forget(self, version: ModelVersion) -> None:
        """Note that all sessions of a deleted version are marked."""


class ModelJobs(Protocol):
    """The methods of `cellar.jobs.submission.submission.Jobs` that a deletion needs. Called on threads."""

    def unfinished(self, tenant: str, model: str) -> int:
        """Return the number of queued and running jobs of a model."""

    def cancel_unfinished(self, tenant: str, model: str) -> int:
        """Cancel the queued and running jobs of a model, and return their number."""


class Deletions:
    """Deletes models and versions. Every method may raise StoreUnavailable."""

    def __init__(
        self, catalogue: Catalogue, uses: ModelUses, shadows: ShadowStore, jobs: ModelJobs, models: ModelCache
    ) -> None:
        self._catalogue = catalogue
        self._uses = uses
        self._shadows = shadows
        self._jobs = jobs
        self._models = models

    async def delete(self, tenant: str, ref: str, *, force: bool) -> None:
        """Delete the version `name@3`, or the model `name` with all its versions.

        Raise ModelUnknown, or ModelInUse unless the deletion is forced. After this has returned, no process commits a
        step of a session on what was deleted.
        """
        if force:
            await self._delete_by_force(tenant, ref)
        else:
            await self._delete_unused(tenant, ref)
        await self.finish(tenant, ref)
        self._models.drop(tenant, ref)  # only now: until they are marked, its sessions may still migrate

    async def finish(self, tenant: str, ref: str | None = None) -> bool:
        """Mark the sessions of deleted versions, or of those that `ref` names; return whether there were any.

        If the sessions of one version cannot be marked, those of the others are, and the error is raised at the end.
        """
        found = await asyncio.to_thread(self._catalogue.deleted, tenant)
        versions = [version for version in found if ref in (None, version.name, version.ref)]
        failures: list[Exception] = []
        for version in versions:
            try:
                await self._finish(version)
            except StoreUnavailable:
                raise
            except Exception as error:
                logger.error("the deletion of %s cannot be finished", version.ref)
                failures.append(error)
        if failures:
            raise failures[0]
        return bool(versions)

    async def _finish(self, version: ModelVersion) -> None:
        known = known_of(await asyncio.to_thread(self._catalogue.sizes, version))
        for key in await self._uses.fence(version.tenant, version.ref, known):
            await self._stop_shadow(key, version)
        await asyncio.to_thread(self._catalogue.forget, version)

    async def _delete_by_force(self, tenant: str, ref: str) -> None:
        try:
            await asyncio.to_thread(self._catalogue.delete, tenant, *_parts(ref))
        except ModelUnknown:
            if not await self.finish(tenant, ref):  # if there was one, this request repeats one that was interrupted
                raise
        await asyncio.to_thread(self._jobs.cancel_unfinished, tenant, ref)

    async def _delete_unused(self, tenant: str, ref: str) -> None:
        name, version = _parts(ref)
        while True:  # again if something has begun to depend on the model between the check and the deletion
            uses = await asyncio.to_thread(self._catalogue.uses, tenant, name)
            await self._check_unused(tenant, ref)
            if await asyncio.to_thread(self._catalogue.delete, tenant, name, version, uses=uses):
                return

    async def _check_unused(self, tenant: str, ref: str) -> None:
        if _parts(ref)[1] is None:
            versions = await asyncio.to_thread(self._catalogue.versions, tenant, ref)
            each = [await self._uses.count(tenant, version.ref) for version in versions]
            found, aliases = Dependents(*map(sum, zip(*each, strict=True))), 0
        else:
            aliases, moved = await asyncio.to_thread(self._aliases, tenant, ref)
            found = await self._uses.count(tenant, ref, moved)
        jobs = await asyncio.to_thread(self._jobs.unfinished, tenant, ref)
        if jobs or aliases or any(found):
            raise ModelInUse(
                f"the model {ref} has dependents; with ?force=true it is deleted nevertheless: its sessions are then"
                " answered `model_deleted` until they migrate, its jobs are cancelled, its shadows stop, its aliases"
                " are deleted",
                sessions=found.sessions,
                jobs=jobs,
                shadows=found.shadows,
                snapshots=found.snapshots,
                aliases=aliases,
            )

    def _aliases(self, tenant: str, ref: str) -> tuple[int, frozenset[str]]:
        """Return the number of aliases of a version, and those of versions that can take over its sessions."""
        version = self._catalogue.get(tenant, ref)
        mine, count, moved = self._catalogue.sizes(version), 0, set[str]()
        for alias in self._catalogue.aliases(tenant, version.name):
            if alias.version == version.version:
                count += 1
            elif difference(mine, self._catalogue.sizes(self._catalogue.get(tenant, alias.ref))) is None:
                moved.add(alias.alias)
        return count, frozenset(moved)

    async def _stop_shadow(self, key: SessionKey, version: ModelVersion) -> None:
        """Stop a shadow that runs a deleted version; try again if it was written at the same time."""
        while True:
            shadow = await self._shadows.load(key)
            if shadow is None or shadow.model != version.ref or shadow.stopped is not None:
                return
            stopped = replace(shadow, stopped=f"model_deleted: the model {version.ref} was deleted")
            if await self._shadows.save(key, shadow, stopped):
                return


def _parts(ref: str) -> tuple[str, int | None]:
    """Return the name of a model, and the number of the version; None for the whole model."""
    name, _, version = ref.partition("@")
    return name, int(version) if version else None
