"""Model versions in Redis. All keys share the hash tag `{models}`: records are small, and weights may be shared."""

import json
from typing import Any

import redis

from cellar.errors import AlreadyExists, ModelUnknown, StoreCorrupt
from cellar.errors.suggestions import suggestion
from cellar.ports import ModelVersion
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.replies import text

TOKEN_TTL_S = 30 * 24 * 3600
"""How long a repeated publication is recognised: longer than a job waits for a worker."""

MOST_COMPARED = 200
"""Most models of a tenant among which a similar name is searched for an error text."""


class RedisModels:
    """ModelStore in Redis. A version is a JSON text in the hash of its model."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._tag = f"{prefix}:{{models}}"
        self._scripts = Scripts(client, "model", "common")

    def create(self, version: ModelVersion) -> tuple[ModelVersion, bool]:
        """Store the first version of a free name, or find the oldest one of the same digest; return whether it is new.

        Raise AlreadyExists if the name is taken and has no version of that digest, or StoreUnavailable.
        """
        keys = self._keys(version.tenant, version.name)
        with redis_errors(outcome="unknown"):
            number, *made = self._scripts.run(
                "create", keys, [version.name, _dump(version), version.weights, version.digest]
            )
        if not made:
            taken = f"{version.name}@{number}"
            raise AlreadyExists(f"there is a model {version.name!r} of another network or seed: {taken}")
        record, is_new = made
        return _load(version.tenant, int(number), record), bool(is_new)

    def add(self, version: ModelVersion, *, token: str) -> ModelVersion:
        """Store a version under the next number of its name and make it the newest; idempotent by `token`.

        Raise StoreUnavailable.
        """
        tenant = version.tenant
        keys = [*self._keys(tenant, version.name), f"{self._tag}:{tenant}:token:{token}"]
        with redis_errors(outcome="unknown"):
            number, record = self._scripts.run(
                "add", keys, [version.name, _dump(version), version.weights, TOKEN_TTL_S]
            )
        return _load(tenant, int(number), record)

    def get(self, tenant: str, name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest if None. Raise ModelUnknown or StoreUnavailable."""
        with redis_errors():
            number = self._client.hget(self._newest(tenant), name) if version is None else version
            record = None if number is None else self._client.hget(self._versions(tenant, name), str(int(number)))
        if record is None or number is None:
            asked = f"no model {name!r}" if version is None else f"no model {name!r} in version {version}"
            raise ModelUnknown(asked + self._hint(tenant, name))
        return _load(tenant, int(number), record)

    def _hint(self, tenant: str, name: str) -> str:
        """Return a text with a model that may be meant instead of an unknown one, or "". Raise StoreUnavailable."""
        with redis_errors():
            newest = self._client.hget(self._newest(tenant), name)
            few = int(self._client.hlen(self._newest(tenant))) <= MOST_COMPARED
            names = [text(each) for each in self._client.hkeys(self._newest(tenant))] if few and newest is None else []
        return suggestion(name, names) if newest is None else f"; the newest is {name}@{int(newest)}"

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions, oldest first. Raise ModelUnknown or StoreUnavailable."""
        with redis_errors():
            records = self._client.hgetall(self._versions(tenant, name))
        if not records:
            raise ModelUnknown(f"no model {name!r}{self._hint(tenant, name)}")
        return sorted((_load(tenant, int(number), record) for number, record in records.items()), key=_number)

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted. Raise StoreUnavailable."""
        with redis_errors():
            return sorted(text(name) for name in self._client.hkeys(self._newest(tenant)))

    def uses(self, tenant: str, name: str) -> int:
        """Return the number of uses of the model (`ModelUses.confirm`). Raise StoreUnavailable."""
        with redis_errors():
            return int(self._client.hget(self._uses(tenant), name) or 0)

    def delete(self, tenant: str, name: str, uses: int | None = None) -> list[str] | None:
        """Delete a model and return the digests of weights that no version refers to any more.

        Return None if its number of uses is not `uses`. Raise ModelUnknown or StoreUnavailable.
        """
        keys = [*self._keys(tenant, name), self._uses(tenant), self._deleted(tenant)]
        with redis_errors(outcome="unknown"):
            unused = self._scripts.run("delete", keys, [name, "" if uses is None else uses])
        if unused is None:
            raise ModelUnknown(f"no model {name!r}{self._hint(tenant, name)}")
        return None if unused == 0 else [text(digest) for digest in unused]

    def deleted(self, tenant: str) -> list[ModelVersion]:
        """Return the deleted versions whose sessions may not be marked yet. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.hgetall(self._deleted(tenant))
        return [_load(tenant, int(text(ref).rpartition("@")[2]), record) for ref, record in found.items()]

    def forget(self, version: ModelVersion) -> None:
        """Record that all sessions of a deleted version are marked. Raise StoreUnavailable."""
        with redis_errors():
            self._client.hdel(self._deleted(version.tenant), version.ref)

    def refers(self, weights: str) -> bool:
        """Return whether any version of any tenant refers to these weights. Raise StoreUnavailable."""
        with redis_errors():
            return bool(self._client.hexists(self._weights, weights))

    def _keys(self, tenant: str, name: str) -> list[str]:
        """Return the keys of every script (`lua/model/common.lua`)."""
        return [self._newest(tenant), f"{self._tag}:{tenant}:highest", self._versions(tenant, name), self._weights]

    def _uses(self, tenant: str) -> str:
        return f"{self._tag}:{tenant}:uses"

    def _deleted(self, tenant: str) -> str:
        return f"{self._tag}:{tenant}:deleted"

    @property
    def _weights(self) -> str:
        return f"{self._tag}:weights"

    def _newest(self, tenant: str) -> str:
        return f"{self._tag}:{tenant}:newest"

    def _versions(self, tenant: str, name: str) -> str:
        return f"{self._tag}:{tenant}:model:{name}"


def _number(version: ModelVersion) -> int:
    return version.version


def _dump(version: ModelVersion) -> str:
    record = {
        "name": version.name,
        "digest": version.digest,
        "network": version.network,
        "weights": version.weights,
        "created_s": version.created_s,
        "parent": version.parent,
        "metrics": version.metrics,
    }
    if version.origin is not None:
        record["origin"] = version.origin
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


def _load(tenant: str, number: int, record: bytes | str) -> ModelVersion:
    try:
        fields: dict[str, Any] = json.loads(record)
        return ModelVersion(tenant=tenant, version=number, **fields)
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"unreadable model version: {error}") from error
