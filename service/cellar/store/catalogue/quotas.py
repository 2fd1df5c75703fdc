"""Quotas in Redis: the limits of single tenants, and what each process of a fleet uses now."""

import json
from collections.abc import Mapping
from typing import Any

import redis

from cellar.ports.catalogue.quotas import LimitChanges, Limits
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

KEPT_MS = 60_000
"""How long the use of a fleet is kept after the last process has stored its own."""


class RedisQuotas:
    """QuotaStore in Redis. All keys share the hash tag `{quotas}`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        tag = f"{prefix}:{{quotas}}"
        self._limits, self._revision, self._use = f"{tag}:limits", f"{tag}:revision", f"{tag}:use"

    def limits(self, since: int) -> LimitChanges | None:
        """Return the limits of all tenants that have their own, None if nothing has changed since a revision."""
        with redis_errors():
            revision = int(self._client.get(self._revision) or 0)  # first: later changes are read again
            if revision == since:
                return None
            found = self._client.hgetall(self._limits)
        return LimitChanges(revision, {text(tenant): json.loads(limits) for tenant, limits in found.items()})

    def set_limits(self, tenant: str, limits: Limits) -> None:
        """Replace a tenant's own limits; without any, the settings hold again."""
        with redis_errors(outcome="unknown"), self._client.pipeline(transaction=True) as together:
            if limits:
                together.hset(self._limits, tenant, json.dumps(dict(limits), separators=(",", ":")))
            else:
                together.hdel(self._limits, tenant)
            together.incr(self._revision)
            together.execute()

    def share(self, process: str, use: str) -> Mapping[str, str]:
        """Store what a process uses now, and return that of all processes."""
        with redis_errors(), self._client.pipeline(transaction=True) as together:
            together.hset(self._use, process, use)
            together.pexpire(self._use, KEPT_MS)
            together.hgetall(self._use)
            *_, found = together.execute()
        pairs: dict[Any, Any] = found
        return {text(name): text(value) for name, value in pairs.items()}

    def leave(self, process: str) -> None:
        """Forget what a process uses."""
        with redis_errors():
            self._client.hdel(self._use, process)
