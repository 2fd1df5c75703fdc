"""The models that sessions run on: loaded on a thread, kept while they are used, each with its micro-batcher."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cellar.errors import ModelUnknown
from cellar.ports import SessionMeta
from cellar.runtime.batcher import Batcher, Finish
from cellar.runtime.network import Model

MAX_BYTES = 256 * 1024 * 1024
"""Weights kept at hand. The registry holds mostly the same arrays, so this is little more memory."""

LoadModel = Callable[[str, str], Model]
"""Load a tenant's model, `name` or `name@3`. Called on a thread; raises ModelUnknown."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model and the queue of its kernel calls."""

    model: Model
    batcher: Batcher


class Models:
    """Loads models, one load at a time for each, and keeps what was used last."""

    def __init__(self, load: LoadModel, kernels: ThreadPoolExecutor, finish: Finish) -> None:
        self._load = load
        self._kernels = kernels
        self._finish = finish
        self._served: OrderedDict[tuple[str, str, str], Served] = OrderedDict()
        self._loading: dict[tuple[str, str], asyncio.Task[Model]] = {}
        self._bytes = 0

    async def resolve(self, tenant: str, ref: str) -> Model:
        """Return the model that a name means now. Raise ModelUnknown, CompileFailed or StoreUnavailable."""
        task = self._loading.get((tenant, ref))
        if task is None:
            task = self._loading[tenant, ref] = asyncio.create_task(asyncio.to_thread(self._load, tenant, ref))
            task.add_done_callback(lambda _: self._loading.pop((tenant, ref)))
        return await asyncio.shield(task)  # others wait for the same load

    def cached(self, tenant: str, meta: SessionMeta) -> Served | None:
        """Return the session's model if it is at hand."""
        key = (tenant, meta.model, meta.model_digest)
        served = self._served.get(key)
        if served is not None:
            self._served.move_to_end(key)
        return served

    async def fetch(self, tenant: str, meta: SessionMeta) -> Served:
        """Return the session's model. Raise ModelUnknown if it is gone, or is another model of the same name now."""
        found = self.cached(tenant, meta)
        if found is not None:
            return found
        model = await self.resolve(tenant, meta.model)
        if model.version.digest != meta.model_digest:
            raise ModelUnknown(f"the model {meta.model} that the session was created with was deleted")
        return self.cached(tenant, meta) or self._keep((tenant, meta.model, meta.model_digest), model)

    def _keep(self, key: tuple[str, str, str], model: Model) -> Served:
        served = self._served[key] = Served(model, Batcher(model.network, self._kernels, self._finish))
        self._bytes += model.size_bytes
        while self._bytes > MAX_BYTES and len(self._served) > 1:
            _, dropped = self._served.popitem(last=False)  # its batcher lives on until its queue is empty
            self._bytes -= dropped.model.size_bytes
        return served
