"""The cache of loaded models, limited in bytes; each model has its micro-batcher.

This is the only cache of loaded models. A version never changes, and a session names the version and its digest, so
what is loaded is never looked at again: the store fences the sessions of a model that is deleted (`model_deletion.py`).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple, Protocol, TypeVar

from cellar.errors import ModelDeleted, ModelUnknown
from cellar.ports import ModelVersion, SessionMeta
from cellar.sessions.execution.aliases import AliasSource
from cellar.sessions.execution.micro_batcher import MicroBatcher
from cellar.sessions.execution.thread_shares import ThreadShares
from cellar.sessions.requests.admission import Admission, ModelQueue
from cellar.sessions.values.deleted_model import GoneModel, known_of, model_deleted
from cellar.sessions.values.model_protocol import Model, Sizes

Answer = TypeVar("Answer")

LOADERS = 4
"""Models that are loaded at a time. Versions are looked up on threads of their own: no look waits for a load."""


class ModelSource(AliasSource, Protocol):
    """Where models come from; `cellar.registry.Registry` is one. Called on threads."""

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version that a reference, `name` or `name@3`, means now. Raise ModelUnknown."""

    def load(self, version: ModelVersion) -> Model:
        """Return a version ready to run. Raise ModelUnknown if its weights are gone."""

    def deleted_network(self, tenant: str, ref: str) -> Sizes | None:
        """Return the network of a version that was deleted and whose sessions are not all marked yet, else None."""


class ModelKey(NamedTuple):
    """The key of a model: a version and its digest, which each session stores."""

    tenant: str
    ref: str
    digest: str


@dataclass(slots=True, eq=False, weakref_slot=True)
class LoadedModel:
    """A loaded model and the queue of its kernel calls. Only the cache keeps it: others hold a weak reference."""

    model: Model
    batcher: MicroBatcher
    queue: ModelQueue
    """The requests that wait for it."""
    used_s: float
    """When it was used last, by the monotonic clock."""


class ModelCache:
    """Loads models, each once at a time, and keeps those used last, up to `max_bytes` of them.

    The bound is exceeded by models whose queues are not empty, and by one model that is larger than all of it.
    """

    def __init__(
        self,
        source: ModelSource,
        turns: ThreadShares,
        admission: Admission,
        *,
        max_bytes: int,
    ) -> None:
        self._source = source
        self._turns = turns
        self._admission = admission
        self._max_bytes = max_bytes
        # not the loop's own threads: a load may compile for seconds, and others wait for those for a millisecond
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-load")
        self._lookers = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-look")
        self._served: dict[ModelKey, LoadedModel] = {}
        self._loading: dict[ModelKey, asyncio.Task[Model]] = {}
        self._bytes = 0

    async def find(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version that a reference means now, without loading it. Raise ModelUnknown, StoreUnavailable."""
        return await _on(self._lookers, lambda: self._source.get(tenant, ref))

    async def resolve(self, tenant: str, ref: str) -> Model:
        """Return the model that a reference means now. Raise ModelUnknown, CompileFailed or StoreUnavailable."""
        version = await self.find(tenant, ref)
        key = ModelKey(tenant, version.ref, version.digest)
        return (self._at_hand(key) or await self._load(key, version)).model

    def cached(self, tenant: str, meta: SessionMeta) -> LoadedModel | None:
        """Return the session's model if it is loaded, and was not deleted."""
        return None if meta.deleted is not None else self._at_hand(ModelKey(tenant, meta.model, meta.model_digest))

    async def fetch(self, tenant: str, meta: SessionMeta) -> LoadedModel:
        """Return the session's model, ready to run. Raise ModelDeleted, also if another model has its name now."""
        if meta.deleted is not None:
            raise model_deleted(meta.model)
        key = ModelKey(tenant, meta.model, meta.model_digest)
        return self._at_hand(key) or await self._load(key)

    async def known(self, tenant: str, meta: SessionMeta) -> Model:
        """Return the session's model, of which only the sizes may be known: one that was deleted runs nothing.

        Raise ModelDeleted if not even those are known.
        """
        if meta.deleted is None:
            try:
                return (await self.fetch(tenant, meta)).model
            except ModelDeleted:  # the session is not marked yet, as its process died: its sizes are known elsewhere
                sizes = await _on(self._lookers, lambda: self._source.deleted_network(tenant, meta.model))
                if sizes is None:
                    raise
                meta = replace(meta, deleted=known_of(sizes))
        return GoneModel.of(tenant, meta)

    def drop(self, tenant: str, ref: str) -> None:
        """Forget a version, or all versions of a model. Calls that have begun end as usual."""
        for key in [*self._served]:
            if key.tenant == tenant and ref in (key.ref, key.ref.partition("@")[0]):
                self._forget(key)

    def close(self) -> None:
        """Load nothing any more."""
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._lookers.shutdown(wait=False, cancel_futures=True)

    def _at_hand(self, key: ModelKey) -> LoadedModel | None:
        served = self._served.get(key)
        if served is not None:
            served.used_s = monotonic()
        return served

    async def _load(self, key: ModelKey, version: ModelVersion | None = None) -> LoadedModel:
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load_on_a_thread(key, version))
            task.add_done_callback(lambda _: self._loading.pop(key))
        try:
            model = await asyncio.shield(task)  # others wait for the same load
        except ModelUnknown:
            if version is None:  # its weights are gone; if they went with the version, that is what to say
                await self._find_pinned(key)
            raise
        return self._at_hand(key) or self._keep(key, model)

    async def _load_on_a_thread(self, key: ModelKey, version: ModelVersion | None) -> Model:
        found = version or await self._find_pinned(key)
        return await _on(self._loaders, lambda: self._source.load(found))

    async def _find_pinned(self, key: ModelKey) -> ModelVersion:
        """Return a version that a session has: it was there once, so it was deleted if it is not."""
        try:
            found = await self.find(key.tenant, key.ref)
        except ModelUnknown as error:
            raise model_deleted(key.ref) from error
        if found.digest != key.digest:
            raise model_deleted(key.ref)
        return found

    def _keep(self, key: ModelKey, model: Model) -> LoadedModel:
        batcher = MicroBatcher(model.network, self._turns)
        served = LoadedModel(model, batcher, self._admission.model_queue(batcher.cost), monotonic())
        self._served[key] = served
        self._bytes += model.size_bytes
        while self._bytes > self._max_bytes:
            idle = [each for each, other in self._served.items() if other is not served and not other.batcher.busy]
            if not idle:
                break
            self._forget(min(idle, key=lambda each: self._served[each].used_s))
        return served

    def _forget(self, key: ModelKey) -> None:
        self._bytes -= self._served.pop(key).model.size_bytes


async def _on(threads: ThreadPoolExecutor, action: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, action)
