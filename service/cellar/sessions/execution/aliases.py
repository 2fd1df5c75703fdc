"""The aliases that sessions of this process follow, read again when an alias has moved.

Every process asks the store each second whether an alias of the tenant has moved. So a step runs on the version that
its alias named at most a second ago, plus the time of that request, and no step waits for it.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from cellar.ports import MODEL_REFERENCE, Alias, ModelVersion, SessionMeta

Answer = TypeVar("Answer")

EVERY_S = 1.0
"""Seconds between two questions whether an alias has moved."""

THREADS = 2

_REFERENCE = re.compile(MODEL_REFERENCE)


class AliasSource(Protocol):
    """Where aliases come from; `cellar.models.registry.Registry` is one. Called on threads."""

    def alias(self, tenant: str, name: str, alias: str) -> Alias | None:
        """Return an alias, None if there is none."""

    def get_by_alias(self, tenant: str, name: str, alias: str) -> tuple[ModelVersion, Alias]:
        """Return the version that an alias names now, and the alias. Raise ModelUnknown."""

    def aliases_moved_ms(self, tenant: str) -> int:
        """Return when an alias of the tenant was moved or deleted last; 0: never."""


class Aliases:
    """Knows aliases by tenant, model and name. Its methods are called on the event loop.

    `moved` is called after an alias has another version than before.
    """

    def __init__(self, source: AliasSource, moved: Callable[[], None]) -> None:
        self._source = source
        self._moved = moved
        self._known: dict[tuple[str, str, str], Alias | None] = {}
        self._moved_ms: dict[str, int] = {}
        """When an alias of each tenant had moved last, as far as the known ones were read again."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cellar-alias")

    def may_be_ahead(self, tenant: str, meta: SessionMeta) -> bool:
        """Return whether the session's alias names another version by now, or has not been read yet."""
        key = _key(tenant, meta)
        if key is None:
            return False
        return key not in self._known or _is_ahead(self._known[key], meta)

    async def ahead(self, tenant: str, meta: SessionMeta) -> Alias | None:
        """Return the session's alias if it names another version by now, else None. Raise StoreUnavailable."""
        key = _key(tenant, meta)
        if key is None:
            return None
        if key not in self._known:
            await self._read(key)
        alias = self._known[key]
        return alias if _is_ahead(alias, meta) else None

    async def resolve(self, tenant: str, ref: str) -> tuple[str, Alias | None]:
        """Return a reference without an alias, and the alias that it had. Raise ModelUnknown or StoreUnavailable."""
        match = _REFERENCE.fullmatch(ref)
        if match is None or match[3] is None:
            return ref, None
        _, alias = await self._ask(lambda: self._source.get_by_alias(tenant, match[1], match[3]))
        return alias.ref, alias

    async def refresh(self, tenant: str) -> None:
        """Read the known aliases of a tenant again if one has moved. Raise StoreUnavailable."""
        keys = [key for key in self._known if key[0] == tenant]
        if not keys:
            return
        moved_ms = await self._ask(lambda: self._source.aliases_moved_ms(tenant))
        if moved_ms == self._moved_ms.get(tenant):
            return
        for key in keys:
            await self._read(key)
        self._moved_ms[tenant] = moved_ms  # at the end: after an error all of them are read again

    def close(self) -> None:
        """Read nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, key: tuple[str, str, str]) -> None:
        found = await self._ask(lambda: self._source.alias(*key))
        before = self._known.get(key)
        if found is not None and before is not None and found.moved_ms < before.moved_ms:
            return  # a later reading was faster
        self._known[key] = found
        if found != before:
            self._moved()

    async def _ask(self, action: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)


def _key(tenant: str, meta: SessionMeta) -> tuple[str, str, str] | None:
    """Return the key of the alias that a session follows, None if its version is pinned."""
    if meta.following is None:
        return None
    return tenant, meta.model.partition("@")[0], meta.following.alias


def _is_ahead(alias: Alias | None, meta: SessionMeta) -> bool:
    """Return whether an alias was moved to another version than the session runs, after the move that it followed.

    A process that has not read the last move of an alias does not move a session back that has followed it elsewhere.
    """
    following = meta.following
    if alias is None or following is None:
        return False
    return alias.moved_ms > following.moved_ms and alias.ref != meta.model
