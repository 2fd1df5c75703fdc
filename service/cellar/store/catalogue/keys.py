"""API keys in Redis. All keys of Redis share the hash tag `{keys}`, so that one script may change them."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import redis

from cellar.errors import KeysFull, KeyUnknown
from cellar.ports import ApiKey, KeyChanges
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

MOST_KEYS = 100_000
"""Most API keys of an installation, ended ones included. Each process holds them all, about 600 bytes each."""


class RedisKeys:
    """KeyStore in Redis. A key is a JSON text in one hash; a sorted set says when each was changed last."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._scripts = Scripts(client, "key")
        tag = f"{prefix}:{{keys}}"
        self._records, self._changes = f"{tag}:records", f"{tag}:changes"
        self._revision, self._tenants, self._pepper = f"{tag}:revision", f"{tag}:tenants", f"{tag}:pepper"

    def put(self, key: ApiKey) -> None:
        """Store a new key, or a new form of one. Raise KeysFull or StoreUnavailable."""
        keys = [self._records, self._changes, self._revision, self._tenants]
        with redis_errors(outcome="unknown"):
            stored = self._scripts.run("put", keys, [key.id, _dump(key), key.tenant, MOST_KEYS])
        if not stored:
            raise KeysFull(f"there are {MOST_KEYS} API keys, which is the most")

    def get(self, tenant: str, key_id: str) -> ApiKey:
        """Return a tenant's key. Raise KeyUnknown or StoreUnavailable."""
        with redis_errors():
            record = self._client.hget(self._records, key_id)
        key = None if record is None else _load(record)
        if key is None or key.tenant != tenant:
            raise KeyUnknown(f"no API key {key_id!r}")
        return key

    def list(self, tenant: str | None) -> list[ApiKey]:
        """Return the keys of a tenant, or of all if None, the oldest first. Raise StoreUnavailable."""
        with redis_errors():
            found = [_load(record) for record in self._client.hvals(self._records)]
        return sorted((key for key in found if tenant in (None, key.tenant)), key=lambda key: (key.created_s, key.id))

    def changes(self, since: int) -> KeyChanges:
        """Return the changes since a revision. Raise StoreUnavailable."""
        with redis_errors():
            revision = int(self._client.hget(self._revision, "last") or 0)  # first: later changes are read again
            if revision == since:
                return KeyChanges(revision, [])
            changed = [text(key_id) for key_id in self._client.zrangebyscore(self._changes, since + 1, "+inf")]
            records = self._client.hmget(self._records, changed) if changed else []
        return KeyChanges(revision, [_load(record) for record in records if record is not None])

    def add_tenants(self, tenants: Iterable[str]) -> None:
        """Remember tenants that have no key. Raise StoreUnavailable."""
        with redis_errors(outcome="unknown"), self._client.pipeline() as pipeline:
            pipeline.sadd(self._tenants, *tenants)
            pipeline.hincrby(self._revision, "last", 1)
            pipeline.execute()

    def tenants(self) -> set[str]:
        """Return the tenants that have or had a key, and those that were added. Raise StoreUnavailable."""
        with redis_errors():
            return {text(tenant) for tenant in self._client.smembers(self._tenants)}

    def check_pepper(self, mark: bytes) -> bool:
        """Return whether keys are stored under the pepper with this mark. Raise StoreUnavailable."""
        with redis_errors(outcome="unknown"):
            self._client.setnx(self._pepper, mark)
            return self._client.get(self._pepper) == mark


def _dump(key: ApiKey) -> str:
    members = {name: value for name, value in asdict(key).items() if value is not None}
    return json.dumps(members | {"digest": key.digest.hex()}, ensure_ascii=False, separators=(",", ":"))


def _load(record: bytes | str) -> ApiKey:
    members: dict[str, Any] = json.loads(record)
    digest, scopes = bytes.fromhex(members.pop("digest")), tuple(members.pop("scopes"))
    return ApiKey(**members, digest=digest, scopes=scopes)
