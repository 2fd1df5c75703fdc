"""The models that sessions run on: loaded on a thread, kept while they are used, each with its micro-batcher."""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from cellar.errors import CellarError, ModelUnknown
from cellar.ports import SessionMeta
from cellar.runtime.batcher import Batcher, Finish
from cellar.runtime.flights import Flights
from cellar.runtime.network import Model

logger = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024 * 1024
"""Weights kept at hand."""

LOADERS = 4
"""Loads at a time; and so many looks at models that are at hand, which are quick and wait for no load."""

MAX_COUNT = 256
"""Models kept at hand: small ones cost more than their weights."""

LoadModel = Callable[[str, str], Model]
"""Load a tenant's model, `name` or `name@3`. Called on a thread; raises ModelUnknown."""


RECHECK_S = 1.0
"""How often the store is asked whether a model that is in use is still there; after twice that, before it is used."""


@dataclass(slots=True, eq=False)
class Served:
    """A model and the queue of its kernel calls."""

    model: Model
    batcher: Batcher
    checked_s: float
    """When the store was last asked for it, by the monotonic clock; -inf once it is known to be gone."""

    def is_fresh(self, now_s: float) -> bool:
        """Return whether it was in the store not long ago."""
        return now_s - self.checked_s <= RECHECK_S


class Models:
    """Loads models, one load at a time for each, and keeps what was used last."""

    def __init__(self, load: LoadModel, kernels: ThreadPoolExecutor, finish: Finish, flights: Flights) -> None:
        self._load = load
        self._kernels = kernels
        self._finish = finish
        self._flights = flights
        # not the loop's own threads: a load may compile for seconds, and others wait for those for a millisecond
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-load")
        self._lookers = ThreadPoolExecutor(LOADERS, thread_name_prefix="cellar-look")
        self._served: OrderedDict[tuple[str, str, str], Served] = OrderedDict()
        self._loading: dict[tuple[str, str, bool], asyncio.Task[Model]] = {}
        self._bytes = 0
        self._rechecks: set[asyncio.Task[None]] = set()

    async def resolve(self, tenant: str, ref: str) -> Model:
        """Return the model that a name means now. Raise ModelUnknown, CompileFailed or StoreUnavailable."""
        return await self._load_once(tenant, ref, at_hand=False)

    async def _load_once(self, tenant: str, ref: str, *, at_hand: bool) -> Model:
        key = tenant, ref, at_hand
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load_on_a_thread(tenant, ref, at_hand=at_hand))
            task.add_done_callback(lambda _: self._loading.pop(key))
        return await asyncio.shield(task)  # others wait for the same load

    async def _load_on_a_thread(self, tenant: str, ref: str, *, at_hand: bool) -> Model:
        threads = self._lookers if at_hand else self._loaders
        return await asyncio.get_running_loop().run_in_executor(threads, self._load, tenant, ref)

    def close(self) -> None:
        """Load nothing any more."""
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._lookers.shutdown(wait=False, cancel_futures=True)

    def cached(self, tenant: str, meta: SessionMeta) -> Served | None:
        """Return the session's model if it is at hand, and was in the store not long ago."""
        key = (tenant, meta.model, meta.model_digest)
        served = self._served.get(key)
        if served is None:
            return None
        self._served.move_to_end(key)
        now_s = monotonic()
        age_s = now_s - served.checked_s
        if age_s > 2 * RECHECK_S:
            return None
        if age_s > RECHECK_S:
            served.checked_s = now_s
            task = asyncio.create_task(self._recheck(key, meta))
            self._rechecks.add(task)
            task.add_done_callback(self._rechecks.discard)
        return served

    async def fetch(self, tenant: str, meta: SessionMeta) -> Served:
        """Return the session's model. Raise ModelUnknown if it is gone, or is another model of the same name now."""
        return self.cached(tenant, meta) or await self._fetch((tenant, meta.model, meta.model_digest), meta)

    async def _fetch(self, key: tuple[str, str, str], meta: SessionMeta) -> Served:
        try:
            model = await self._load_once(key[0], meta.model, at_hand=key in self._served)
        except ModelUnknown:
            self._drop(key)
            raise
        if model.version.digest != meta.model_digest:
            self._drop(key)
            raise ModelUnknown(f"the model {meta.model} that the session was created with was deleted")
        return self._keep(key, model)

    async def _recheck(self, key: tuple[str, str, str], meta: SessionMeta) -> None:
        """Drop a model that was deleted, also by another process. A store that is away is no reason."""
        try:
            with suppress(CellarError):
                await self._fetch(key, meta)
        except Exception:  # nobody waits for this, and whoever needs the model next is told
            logger.exception("it was not found out whether the model %s is still there", meta.model)

    def _drop(self, key: tuple[str, str, str]) -> None:
        served = self._served.pop(key, None)
        if served is not None:
            served.checked_s = -math.inf
            self._bytes -= served.model.size_bytes

    def _keep(self, key: tuple[str, str, str], model: Model) -> Served:
        now_s = monotonic()
        there = self._served.get(key)
        if there is not None:
            there.checked_s = now_s
            return there
        served = self._served[key] = Served(
            model, Batcher(model.network, self._kernels, self._finish, self._flights), now_s
        )
        self._bytes += model.size_bytes
        while len(self._served) > 1 and (self._bytes > MAX_BYTES or len(self._served) > MAX_COUNT):
            _, dropped = self._served.popitem(last=False)  # its batcher lives on until its queue is empty
            self._bytes -= dropped.model.size_bytes
        return served
