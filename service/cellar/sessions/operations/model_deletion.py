"""Deleting models that sessions, jobs, shadows or snapshots depend on.

A deletion is refused with their numbers, or forced. A forced one takes the model out of the store first and then marks
each of its sessions, in the store, so that no process commits a step on it any more; only then it is answered. What a
process that dies in between has left to do is noted in the store, and any process does it.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cellar.errors import ModelInUse, ModelUnknown, StoreUnavailable
from cellar.ports import Dependents, ModelUses, ModelVersion, SessionKey, ShadowStore
from cellar.sessions.execution.model_cache import ModelCache
from cellar.sessions.values.deleted_model import known_of
from cellar.sessions.values.model_protocol import Sizes

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""How often a process looks whether another one has left a deletion unfinished."""


class Catalogue(Protocol):
    """The models; `cellar.registry.Registry` is one. Called on threads."""

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions of a model. Raise ModelUnknown."""
        ...

    def network(self, version: ModelVersion) -> Sizes:
        """Return the network of a version, without weights."""
        ...

    def uses(self, tenant: str, name: str) -> int:
        """Return how often something has begun to depend on a model."""
        ...

    def delete(self, tenant: str, name: str, uses: int | None = None) -> bool:
        """Delete a model, with `uses` only if they are still so many; return whether it is. Raise ModelUnknown."""
        ...

    def deleted(self, tenant: str) -> Sequence[ModelVersion]:
        """Return the deleted versions whose sessions are perhaps not told yet."""
        ...

    def forget(self, version: ModelVersion) -> None:
        """Note that all sessions of a deleted version are told."""
        ...


class ModelJobs(Protocol):
    """The jobs that train a model; `cellar.jobs.submission.Jobs` has them. Called on threads."""

    def unfinished(self, tenant: str, model: str) -> int:
        """Return how many are queued or running."""
        ...

    def cancel_unfinished(self, tenant: str, model: str) -> int:
        """Ask them to end."""
        ...


class Deletions:
    """Deletes models. Every method may raise StoreUnavailable."""

    def __init__(
        self, catalogue: Catalogue, uses: ModelUses, shadows: ShadowStore, jobs: ModelJobs, models: ModelCache
    ) -> None:
        self._catalogue = catalogue
        self._uses = uses
        self._shadows = shadows
        self._jobs = jobs
        self._models = models

    async def delete(self, tenant: str, name: str, *, force: bool) -> None:
        """Delete a model with all its versions. Raise ModelUnknown, or ModelInUse unless the deletion is forced.

        When this returns, no process commits a step of a session of the model any more.
        """
        if force:
            await self._delete_by_force(tenant, name)
        else:
            await self._delete_unused(tenant, name)
        await self.finish(tenant, name)
        self._models.drop(tenant, name)  # only now: until they are marked, its sessions may still migrate

    async def finish(self, tenant: str, name: str | None = None) -> bool:
        """Tell the sessions of deleted models, or of this one, what has become of it; return whether there were any.

        A version whose sessions cannot be told holds up no other: what it raised is raised at the end.
        """
        found = await asyncio.to_thread(self._catalogue.deleted, tenant)
        versions = [version for version in found if name in (None, version.name)]
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
        known = known_of(await asyncio.to_thread(self._catalogue.network, version))
        for key in await self._uses.fence(version.tenant, version.ref, known):
            await self._stop_shadow(key, version)
        await asyncio.to_thread(self._catalogue.forget, version)

    async def run(self, tenants: Sequence[str]) -> None:
        """Finish what other processes have left undone, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            for tenant in tenants:
                try:
                    await self.finish(tenant)
                except StoreUnavailable as error:
                    logger.warning("deleted models cannot be looked for now: %s", error)
                except Exception:
                    logger.exception("the deletion of a model cannot be finished")

    async def _delete_by_force(self, tenant: str, name: str) -> None:
        try:
            await asyncio.to_thread(self._catalogue.delete, tenant, name)
        except ModelUnknown:
            if not await self.finish(tenant, name):  # else it is the same request again, of which the first one died
                raise
        await asyncio.to_thread(self._jobs.cancel_unfinished, tenant, name)

    async def _delete_unused(self, tenant: str, name: str) -> None:
        while True:  # again if something has begun to depend on the model between the two looks
            uses = await asyncio.to_thread(self._catalogue.uses, tenant, name)
            await self._check_unused(tenant, name)
            if await asyncio.to_thread(self._catalogue.delete, tenant, name, uses):
                return

    async def _check_unused(self, tenant: str, name: str) -> None:
        versions = await asyncio.to_thread(self._catalogue.versions, tenant, name)
        each = [await self._uses.count(tenant, version.ref) for version in versions]
        found = Dependents(*map(sum, zip(*each, strict=True)))
        jobs = await asyncio.to_thread(self._jobs.unfinished, tenant, name)
        if jobs or any(found):
            raise ModelInUse(
                f"the model {name} has dependents; with ?force=true it is deleted all the same: its sessions are then"
                " answered `model_deleted` until they migrate, its jobs are cancelled, its shadows stop",
                sessions=found.sessions,
                jobs=jobs,
                shadows=found.shadows,
                snapshots=found.snapshots,
            )

    async def _stop_shadow(self, key: SessionKey, version: ModelVersion) -> None:
        """Note in a shadow of a deleted version that it follows no more; again if it has come further meanwhile."""
        while True:
            shadow = await self._shadows.load(key)
            if shadow is None or shadow.model != version.ref or shadow.stopped is not None:
                return
            stopped = replace(shadow, stopped=f"model_deleted: the model {version.ref} was deleted")
            if await self._shadows.save(key, shadow, stopped):
                return
