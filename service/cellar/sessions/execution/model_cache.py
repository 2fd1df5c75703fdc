"""The cache of loaded models, limited in bytes; each model has its micro-batcher.

This is the only cache of loaded models. A version never changes, and a session names the version and its digest, so
what is loaded is never looked at again: the store fences the sessions of a model that is deleted (`model_deletion.py`).
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from cellar.errors import InvalidInput, ModelDeleted, ModelUnknown
from cellar.metrics.counts import COUNTS, ModelCounts
from cellar.ports import ModelUses, ModelVersion, SessionMeta
from cellar.sessions.execution.aliases import AliasSource
from cellar.sessions.execution.micro_batcher import MicroBatcher, SharedBatcher
from cellar.sessions.execution.thread_shares import ThreadShares
from cellar.sessions.requests.admission import Admission, ModelQueue
from cellar.sessions.requests.call_cost import CallCost
from cellar.sessions.values.deleted_model import GoneModel, known_of, model_deleted
from cellar.sessions.values.model_protocol import Model, SharedNetwork, Sizes

Answer = TypeVar("Answer")

LOADERS = 4
"""Models that are loaded at a time. Versions are looked up on threads of their own: no look waits for a load."""


class ModelSource(AliasSource, Protocol):
    """Where models come from; `cellar.models.registry.Registry` is one. Called on threads."""

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version that a reference, `name` or `name@3`, means now. Raise ModelUnknown."""

    def load(self, version: ModelVersion) -> Model:
        """Return a version ready to run. Raise ModelUnknown if its weights are gone."""

    def deleted_network(self, tenant: str, ref: str) -> Sizes | None:
        """Return the network of a version that was deleted and whose sessions are not all marked yet, else None."""


@runtime_checkable
class LearningSource(Protocol):
    """Where the models of sessions that learn come from."""

    def learning_of(self, version: ModelVersion, learning: str) -> str:
        """Return the learning of the sessions of a version, given that of another version or of a request."""

    def load_learning(self, version: ModelVersion, learning: str) -> Model:
        """Return a version ready to run for sessions that learn. Raise ModelUnknown if its weights are gone."""


class ModelKey(NamedTuple):
    """The key of a model: a version and its digest, which each session stores, and what its sessions learn."""

    tenant: str
    ref: str
    digest: str
    learning: str = ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class LoadedModel:
    """A loaded model and the queue of its kernel calls. Only the cache keeps it: others hold a weak reference."""

    model: Model
    turns: ThreadShares
    shared: SharedBatcher
    """The batcher of all models, for single steps of up to `shared_rows` rows."""
    shared_rows: int
    queue: ModelQueue
    """The requests that wait for it."""
    used_s: float
    """When it was used last, by the monotonic clock."""
    counts: ModelCounts
    own: MicroBatcher | None = None
    checked: dict[tuple[int, int, int], tuple[int, ...]] = field(default_factory=dict)
    """A shape of inputs that was checked, by the rows, the revision and the bytes of the state of sessions."""

    @property
    def batcher(self) -> MicroBatcher:
        """The batcher of its longer calls, made when it has the first."""
        if self.own is None:
            self.own = MicroBatcher(self.model.network, self.turns, self.queue.cost)
        return self.own

    @property
    def busy(self) -> bool:
        """Whether a work runs or waits."""
        return (self.own is not None and self.own.busy) or self.shared.has(self.model.network)


class ModelCache:
    """Loads models, each once at a time, and keeps those used last, up to `max_bytes` of them.

    What models of the same network share counts once. The bound is exceeded by models whose queues are not empty, and
    by one model that is larger than all of it.
    """

    def __init__(
        self,
        source: ModelSource,
        uses: ModelUses,
        turns: ThreadShares,
        admission: Admission,
        *,
        max_bytes: int,
    ) -> None:
        self._source = source
        self._uses = uses
        self._turns = turns
        self._admission = admission
        self._max_bytes = max_bytes
        # not the loop's own threads: a load may compile for seconds, and others wait for those for a millisecond
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-load")
        self._lookers = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-look")
        self._shared_batcher = SharedBatcher()
        self._served: dict[ModelKey, LoadedModel] = {}
        self._loading: dict[ModelKey, asyncio.Task[Model]] = {}
        self._looks: dict[tuple[str, str], asyncio.Task[ModelVersion]] = {}
        """The looks that run, by tenant and reference."""
        self._next_looks: dict[tuple[str, str], asyncio.Task[ModelVersion]] = {}
        """The looks that begin when the one before has ended."""
        self._own_bytes = 0
        """Of all models, without what they share."""
        self._networks: dict[SharedNetwork, int] = {}
        """The number of loaded models that share each network."""
        self._by_use: list[tuple[float, int, ModelKey]] = []
        """A heap of all models by when they were used last, as far as it knows: `used_s` may have grown since."""
        self._numbers = itertools.count()

    async def find(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version that a reference means now, without loading it. Raise ModelUnknown, StoreUnavailable.

        All that ask while a version is looked up share the next look, which begins after they have asked.
        """
        key = tenant, ref
        task = self._next_looks.get(key)
        if task is None:
            task = asyncio.create_task(self._look(key, self._looks.get(key)))
            self._next_looks[key] = task
        return await asyncio.shield(task)

    async def _look(self, key: tuple[str, str], before: "asyncio.Task[ModelVersion] | None") -> ModelVersion:
        if before is not None:
            await asyncio.wait([before])
        own = self._looks[key] = self._next_looks.pop(key)
        try:
            found = await self._uses.version(*key)
            if found is None:  # the error says what there is instead
                found = await _on(self._lookers, lambda: self._source.get(*key))
            return found
        finally:
            if self._looks.get(key) is own:
                del self._looks[key]

    async def resolve(self, tenant: str, ref: str, learning: str = "") -> Model:
        """Return the model that a reference means now. Raise ModelUnknown, CompileFailed or StoreUnavailable.

        `learning` is what its sessions learn, as a request or a session of another version has it; empty: nothing.
        Raise InvalidInput if they cannot learn it.
        """
        version = await self.find(tenant, ref)
        if learning:
            learning = await _on(self._lookers, lambda: self._learning_source.learning_of(version, learning))
        key = ModelKey(tenant, version.ref, version.digest, learning)
        return (self._at_hand(key) or await self._load(key, version)).model

    def cached(self, tenant: str, meta: SessionMeta) -> LoadedModel | None:
        """Return the session's model if it is loaded, and was not deleted."""
        if meta.deleted is not None:
            return None
        return self._at_hand(ModelKey(tenant, meta.model, meta.model_digest, meta.learning))

    async def fetch(self, tenant: str, meta: SessionMeta) -> LoadedModel:
        """Return the session's model, ready to run. Raise ModelDeleted, also if another model has its name now."""
        if meta.deleted is not None:
            raise model_deleted(meta.model)
        key = ModelKey(tenant, meta.model, meta.model_digest, meta.learning)
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
        self._by_use = [entry for entry in self._by_use if entry[2] in self._served]
        heapq.heapify(self._by_use)

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
                await _on(self._lookers, lambda: self._find_pinned(key))
            raise
        return self._at_hand(key) or self._keep(key, model)

    async def _load_on_a_thread(self, key: ModelKey, version: ModelVersion | None) -> Model:
        def load() -> Model:
            """Look the version up and load it. Of a graph the operations are measured, which takes a few steps."""
            found = version or self._find_pinned(key)
            if key.learning:
                model = self._learning_source.load_learning(found, key.learning)
            else:
                model = self._source.load(found)
            _ = model.network.flops
            return model

        return await _on(self._loaders, load)

    @property
    def _learning_source(self) -> LearningSource:
        """The source, for sessions that learn. Raise InvalidInput if it has none."""
        if not isinstance(self._source, LearningSource):
            raise InvalidInput("no session of this service can learn", pointer="/learning")
        return self._source

    def _find_pinned(self, key: ModelKey) -> ModelVersion:
        """Return a version that a session has: it was there once, so it was deleted if it is not."""
        try:
            found = self._source.get(key.tenant, key.ref)
        except ModelUnknown as error:
            raise model_deleted(key.ref) from error
        if found.digest != key.digest:
            raise model_deleted(key.ref)
        return found

    @property
    def count(self) -> int:
        """The number of loaded models."""
        return len(self._served)

    @property
    def size_bytes(self) -> int:
        """The memory of all loaded models, with what they share."""
        return self._own_bytes + sum([network.size_bytes for network in self._networks])

    def _keep(self, key: ModelKey, model: Model) -> LoadedModel:
        network, shared = model.network, model.shared
        served = LoadedModel(
            model,
            self._turns,
            self._shared_batcher,
            SharedBatcher.most_rows(network),
            self._admission.model_queue(CallCost(network.flops)),
            monotonic(),
            COUNTS.model(key.tenant, key.ref),
        )
        self._served[key] = served
        self._own_bytes += model.size_bytes
        if shared is not None:
            self._networks[shared] = self._networks.get(shared, 0) + 1
        self._make_room()
        heapq.heappush(self._by_use, (served.used_s, next(self._numbers), key))
        return served

    def _make_room(self) -> None:
        """Forget the models that were used longest ago, except busy ones, until all fit. A new one is added later."""
        excess = self.size_bytes - self._max_bytes
        passed = []
        while excess > 0 and self._by_use:
            used_s, number, key = heapq.heappop(self._by_use)
            oldest = self._served.get(key)
            if oldest is None:
                continue
            if oldest.used_s > used_s:
                heapq.heappush(self._by_use, (oldest.used_s, number, key))
            elif oldest.busy:
                passed.append((used_s, number, key))
            else:
                excess -= self._forget(key)
        for entry in passed:
            heapq.heappush(self._by_use, entry)

    def _forget(self, key: ModelKey) -> int:
        """Forget a model, and return its bytes, with those of its network if no other model has it."""
        model = self._served.pop(key).model
        self._own_bytes -= model.size_bytes
        freed = model.size_bytes
        if model.shared is not None:
            self._networks[model.shared] -= 1
            if not self._networks[model.shared]:
                del self._networks[model.shared]
                freed += model.shared.size_bytes
        return freed


async def _on(threads: ThreadPoolExecutor, action: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, action)
