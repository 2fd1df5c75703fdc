"""Model versions and their aliases in Redis.

All keys share the hash tag `{models}`: records are small, and weights may be shared.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from cellar.errors import AliasesFull, AliasMoved, AliasUnknown, AlreadyExists, ModelUnknown, StoreCorrupt
from cellar.errors.suggestions import suggestion
from cellar.ports import ANY_VERSION, Alias, AliasMove, ModelVersion
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

TOKEN_TTL_S = 30 * 24 * 3600
"""How long a repeated publication is recognised: longer than a job waits for a worker."""

MOST_ALIASES = 64
"""Most aliases of a model."""

MOST_EXAMINED = 10_000
"""Most numbers of versions that are read for one page."""

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
        return load_version(version.tenant, int(number), record), bool(is_new)

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
        return load_version(tenant, int(number), record)

    def get(self, tenant: str, name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest if None. Raise ModelUnknown or StoreUnavailable."""
        with redis_errors():
            number = self._client.hget(self._newest(tenant), name) if version is None else version
            record, about = None, [None, None]
            if number is not None:
                with self._client.pipeline(transaction=False) as both:
                    both.hget(self._versions(tenant, name), str(int(number)))
                    both.hmget(self._about(tenant, name), [f"t{int(number)}", f"d{int(number)}"])
                    record, about = both.execute()
        if record is None or number is None:
            asked = f"no model {name!r}" if version is None else f"no model {name!r} in version {version}"
            raise ModelUnknown(asked + self._hint(tenant, name))
        return load_version(tenant, int(number), record, *about)

    def _hint(self, tenant: str, name: str) -> str:
        """Return a text with a model that may be meant instead of an unknown one, or "". Raise StoreUnavailable."""
        with redis_errors():
            newest = self._client.hget(self._newest(tenant), name)
            few = int(self._client.hlen(self._newest(tenant))) <= MOST_COMPARED
            names = [text(each) for each in self._client.hkeys(self._newest(tenant))] if few and newest is None else []
        return suggestion(name, names) if newest is None else f"; the newest is {name}@{int(newest)}"

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions, oldest first. Raise ModelUnknown or StoreUnavailable."""
        for versions, _ in self.listed(tenant, [name]):
            return versions
        raise ModelUnknown(f"no model {name!r}{self._hint(tenant, name)}")

    def page(self, tenant: str, name: str, after: int, limit: int) -> tuple[list[ModelVersion], int]:
        """Return up to `limit` versions with a number above `after`, and the number after which the next page begins.

        The page ends after MOST_EXAMINED numbers, most of which may have been deleted. Raise as `versions`.
        """
        with redis_errors():
            newest = int(self._client.hget(self._newest(tenant), name) or 0)
        if not newest:
            raise ModelUnknown(f"no model {name!r}{self._hint(tenant, name)}")
        found: list[ModelVersion] = []
        end = min(newest, after + MOST_EXAMINED)
        while len(found) < limit and after < end:
            numbers = range(after + 1, min(end, after + limit - len(found)) + 1)
            found += self._numbered(tenant, name, numbers)
            after = numbers[-1]
        return found, after if after < newest else 0

    def _numbered(self, tenant: str, name: str, numbers: Sequence[int]) -> list[ModelVersion]:
        """Return those versions with these numbers that exist."""
        with redis_errors(), self._client.pipeline(transaction=False) as both:
            both.hmget(self._versions(tenant, name), [str(number) for number in numbers])
            both.hmget(self._about(tenant, name), [f"{field}{number}" for number in numbers for field in "td"])
            records, about = both.execute()
        return [
            load_version(tenant, number, record, *about[2 * place : 2 * place + 2])
            for place, (number, record) in enumerate(zip(numbers, records, strict=True))
            if record is not None
        ]

    def listed(self, tenant: str, names: Sequence[str]) -> list[tuple[list[ModelVersion], list[Alias]]]:
        """Return versions, oldest first, and aliases of each of these models that exists. Raise StoreUnavailable."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for name in names:
                for key in (self._versions(tenant, name), self._about(tenant, name), self._aliases(tenant, name)):
                    pipe.hgetall(key)
            found = pipe.execute()
        models = []
        for place, name in enumerate(names):
            records, about, aliases = found[3 * place : 3 * place + 3]
            if records:
                texts = {text(field): value for field, value in about.items()}
                versions = [
                    load_version(
                        tenant, int(number), record, texts.get(f"t{int(number)}"), texts.get(f"d{int(number)}")
                    )
                    for number, record in records.items()
                ]
                models.append((sorted(versions, key=_number), _aliases(tenant, name, aliases)))
        return models

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted. Raise StoreUnavailable."""
        with redis_errors():
            return sorted(text(name) for name in self._client.hkeys(self._newest(tenant)))

    def describe(
        self, version: ModelVersion, *, tags: Sequence[str] | None = None, description: str | None = None
    ) -> ModelVersion:
        """Set tags, description or both of a version, and return it. Raise ModelUnknown or StoreUnavailable."""
        tenant, name = version.tenant, version.name
        keys = [*self._keys(tenant, name), self._about(tenant, name)]
        words = "" if tags is None else json.dumps(list(tags), ensure_ascii=False, separators=(",", ":"))
        with redis_errors(outcome="unknown"):
            given = words, int(description is not None), description or ""
            found = self._scripts.run("describe", keys, [name, version.version, *given])
        if found is None:
            raise ModelUnknown(f"no model {name!r} in version {version.version}{self._hint(tenant, name)}")
        return load_version(tenant, version.version, *found)

    def aliases(self, tenant: str, name: str) -> list[Alias]:
        """Return the aliases of a model by name. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.hgetall(self._aliases(tenant, name))
        return _aliases(tenant, name, found)

    def alias(self, tenant: str, name: str, alias: str) -> Alias | None:
        """Return an alias, None if there is none. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.hget(self._aliases(tenant, name), alias)
        return None if found is None else _alias(tenant, name, alias, found)

    def move_alias(self, alias: Alias, expected: int | None = ANY_VERSION) -> AliasMove:
        """Let an alias name a version. Raise ModelUnknown, AliasMoved, AliasesFull or StoreUnavailable."""
        tenant, name = alias.tenant, alias.name
        keys = [*self._keys(tenant, name), self._aliases(tenant, name), self._moved(tenant), self._uses(tenant)]
        wanted = alias.alias, alias.version, _expected(expected), alias.moved_ms, MOST_ALIASES
        with redis_errors(outcome="unknown"):
            what, *found = self._scripts.run("alias_move", keys, [name, *wanted])
        match text(what):
            case "unknown":
                raise ModelUnknown(f"no model {name!r} in version {alias.version}{self._hint(tenant, name)}")
            case "other":
                raise _other_version(alias, int(found[0]))
            case "full":
                raise AliasesFull(f"the model {name} has {MOST_ALIASES} aliases, which is the most: delete one")
        stored, before = found
        return AliasMove(_alias(tenant, name, alias.alias, stored), int(before) or None)

    def delete_alias(self, alias: Alias, expected: int | None = ANY_VERSION) -> None:
        """Delete an alias. Raise AliasUnknown, AliasMoved or StoreUnavailable."""
        tenant, name = alias.tenant, alias.name
        keys = [*self._keys(tenant, name), self._aliases(tenant, name), self._moved(tenant)]
        with redis_errors(outcome="unknown"):
            found = self._scripts.run("alias_delete", keys, [name, alias.alias, _expected(expected), alias.moved_ms])
        if found is None:
            raise AliasUnknown(f"the model {name} has no alias {alias.alias!r}")
        if found:
            raise _other_version(alias, int(found))

    def aliases_moved_ms(self, tenant: str) -> int:
        """Return when an alias of the tenant was moved or deleted last; 0: never. Raise StoreUnavailable."""
        with redis_errors():
            return int(self._client.get(self._moved(tenant)) or 0)

    def uses(self, tenant: str, name: str) -> int:
        """Return the number of uses of the model: of `ModelUses.confirm` and moves of its aliases.

        Raise StoreUnavailable.
        """
        with redis_errors():
            return int(self._client.hget(self._uses(tenant), name) or 0)

    def delete(
        self, tenant: str, name: str, version: int | None = None, *, uses: int | None = None
    ) -> list[str] | None:
        """Delete a version or a model, and return the digests of weights that no version refers to any more.

        Return None if its number of uses is not `uses`. Raise ModelUnknown or StoreUnavailable.
        """
        more = self._aliases(tenant, name), self._moved(tenant), self._about(tenant, name)
        keys = [*self._keys(tenant, name), self._uses(tenant), self._deleted(tenant), *more]
        wanted = ["" if each is None else each for each in (uses, version)]
        with redis_errors(outcome="unknown"):
            unused = self._scripts.run("delete", keys, [name, *wanted, time.time_ns() // 1_000_000])
        if unused is None:
            which = "" if version is None else f" in version {version}"
            raise ModelUnknown(f"no model {name!r}{which}{self._hint(tenant, name)}")
        return None if unused == 0 else [text(digest) for digest in unused]

    def deleted(self, tenant: str) -> list[ModelVersion]:
        """Return the deleted versions whose sessions may not be marked yet. Raise StoreUnavailable."""
        with redis_errors():
            found = self._client.hgetall(self._deleted(tenant))
        return [load_version(tenant, int(text(ref).rpartition("@")[2]), record) for ref, record in found.items()]

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

    def _aliases(self, tenant: str, name: str) -> str:
        return f"{self._tag}:{tenant}:aliases:{name}"

    def _about(self, tenant: str, name: str) -> str:
        return f"{self._tag}:{tenant}:about:{name}"

    def _moved(self, tenant: str) -> str:
        return f"{self._tag}:{tenant}:moved"

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


def load_version(
    tenant: str,
    number: int,
    record: bytes | str,
    tags: bytes | str | None = None,
    description: bytes | str | None = None,
) -> ModelVersion:
    """Return a stored version, without tags and description if those are not given. Raise StoreCorrupt."""
    try:
        fields: dict[str, Any] = json.loads(record)
        version = ModelVersion(tenant=tenant, version=number, **fields)
        if tags is None and description is None:
            return version
        words = () if tags is None else tuple(json.loads(tags))
        return replace(version, tags=words, description=None if description is None else text(description) or None)
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"unreadable model version: {error}") from error


def _aliases(tenant: str, name: str, found: Mapping[bytes | str, bytes | str]) -> list[Alias]:
    return [_alias(tenant, name, text(alias), stored) for alias, stored in sorted(found.items())]


def _alias(tenant: str, name: str, alias: str, stored: bytes | str) -> Alias:
    try:
        version, moved_ms = map(int, stored.split())
        return Alias(tenant, name, alias, version, moved_ms)
    except ValueError as error:
        raise StoreCorrupt(f"unreadable alias {alias} of the model {name}") from error


def _expected(version: int | None) -> int | str:
    """Return the expected version of an alias as the scripts read it: 0 for a new alias, "" for any version."""
    return "" if version == ANY_VERSION else version or 0


def _other_version(alias: Alias, version: int) -> AliasMoved:
    now = f"names {alias.name}@{version}" if version else "does not exist"
    return AliasMoved(f"the alias {alias.alias} of the model {alias.name} {now}", version=version)
