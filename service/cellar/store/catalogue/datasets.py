"""Records of datasets in Redis, and the jobs that need each. All keys share the hash tag `{datasets}`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import redis

from cellar.errors import DatasetUnknown, StoreCorrupt
from cellar.errors.suggestions import suggestion
from cellar.ports.catalogue.datasets import MOST_SHOWN, Announced, Column, StoredDataset
from cellar.ports.clock import Clock
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

MOST_COMPARED = 200
"""Most datasets of a tenant among which a similar name is searched for an error text."""


MOST_CHARACTERS = 256 * 1024
"""Most characters of the categories in a record."""

LISTED_BYTES = 8 * 1024 * 1024
"""Bytes of records after which a list ends with a cursor: one of thousands of columns has a megabyte."""

READ_AT_ONCE = 20
"""Records that a list reads in one round trip."""


class RedisDatasets:
    """DatasetStore in Redis. A record is a JSON text in the hash of its tenant."""

    def __init__(self, client: redis.Redis, prefix: str, clock: Clock) -> None:
        self._client = client
        self._tag = f"{prefix}:{{datasets}}"
        self._announced = f"{self._tag}:announced"
        self._clock = clock
        self._scripts = Scripts(client, "dataset")

    def create(self, dataset: StoredDataset) -> StoredDataset | None:
        """Store a dataset. Return None, or the dataset that has the name. Raise StoreUnavailable."""
        with redis_errors(outcome="unknown"):
            record = _dump(dataset)
            found = self._scripts.run(
                "create", self._keys(dataset.tenant), [dataset.dataset, record, dataset.size_bytes]
            )
        return None if found is None else _load(dataset.tenant, dataset.dataset, found)

    def announce(self, tenant: str, dataset: str, blob: str) -> None:
        """Record that a file will be stored for a dataset. Raise StoreUnavailable."""
        with redis_errors():
            self._client.hset(self._announced, blob, json.dumps([tenant, dataset, self._clock.now_s()]))

    def announced(self) -> Sequence[Announced]:
        """Return the files that were announced and not settled. Raise StoreUnavailable."""
        with redis_errors():
            found: dict[Any, Any] = self._client.hgetall(self._announced)
        parts = ((text(blob), json.loads(value)) for blob, value in found.items())
        return [Announced(tenant, dataset, blob, since_s) for blob, (tenant, dataset, since_s) in parts]

    def settle(self, blob: str) -> None:
        """Record that an announced file has its dataset, or is deleted. Raise StoreUnavailable."""
        with redis_errors():
            self._client.hdel(self._announced, blob)

    def get(self, tenant: str, dataset: str) -> StoredDataset:
        """Return a dataset. Raise DatasetUnknown or StoreUnavailable."""
        with redis_errors():
            found = self._client.hget(self._key(tenant, "records"), dataset)
        if found is None:
            raise self._unknown(tenant, dataset)
        return _load(tenant, dataset, found)

    def size_bytes(self, tenant: str) -> int:
        """Return the bytes of all datasets of a tenant. Raise StoreUnavailable."""
        with redis_errors():
            return int(self._client.get(self._key(tenant, "bytes")) or 0)

    def pin(self, tenant: str, dataset: str, job: str) -> StoredDataset:
        """Return a dataset, and record that a job needs it. Raise DatasetUnknown or StoreUnavailable."""
        keys = [self._key(tenant, "records"), self._pins(tenant, dataset)]
        with redis_errors(outcome="unknown"):
            found = self._scripts.run("pin", keys, [dataset, job, repr(self._clock.now_s())])
        if found is None:
            raise self._unknown(tenant, dataset)
        return _load(tenant, dataset, found)

    def unpin(self, tenant: str, dataset: str, job: str) -> None:
        """Record that a job does not need the dataset any more. Raise StoreUnavailable."""
        with redis_errors():
            self._client.hdel(self._pins(tenant, dataset), job)

    def pins(self, tenant: str, dataset: str) -> dict[str, float]:
        """Return the jobs that need the dataset, and since when. Raise StoreUnavailable."""
        with redis_errors():
            found: dict[Any, Any] = self._client.hgetall(self._pins(tenant, dataset))
        return {text(job): float(since) for job, since in found.items()}

    def delete(self, tenant: str, dataset: str, pins: frozenset[str]) -> bool:
        """Delete a record if no other jobs than these need it. Raise DatasetUnknown or StoreUnavailable."""
        size_bytes = self.get(tenant, dataset).size_bytes
        keys = [*self._keys(tenant), self._pins(tenant, dataset), self._key(tenant, "about")]
        with redis_errors(outcome="unknown"):
            done = int(self._scripts.run("delete", keys, [dataset, size_bytes, *sorted(pins)]))
        if not done:
            raise self._unknown(tenant, dataset)
        return done == 1

    def _unknown(self, tenant: str, dataset: str) -> DatasetUnknown:
        """Return the error of an unknown name, with one that may be meant. Raise StoreUnavailable."""
        with redis_errors():
            few = int(self._client.zcard(self._key(tenant, "names"))) <= MOST_COMPARED
            found: Any = self._client.zrange(self._key(tenant, "names"), 0, -1) if few else []
        return DatasetUnknown(f"no dataset {dataset!r}{suggestion(dataset, [text(name) for name in found])}")

    def _keys(self, tenant: str) -> list[str]:
        return [self._key(tenant, name) for name in ("records", "names", "bytes")]

    def _key(self, tenant: str, name: str) -> str:
        return f"{self._tag}:{tenant}:{name}"

    def _pins(self, tenant: str, dataset: str) -> str:
        return f"{self._tag}:{tenant}:pins:{dataset}"

    def list(self, tenant: str, limit: int, after: str = "") -> tuple[list[StoredDataset], str]:
        """Return up to `limit` datasets by name, and the cursor that continues. Raise StoreUnavailable.

        There are fewer if their records are long.
        """
        first = f"({after}" if after else "-"
        with redis_errors():
            found: Any = self._client.zrangebylex(self._key(tenant, "names"), first, "+", start=0, num=limit + 1)
        names = [text(name) for name in found]
        listed: list[StoredDataset] = []
        read_bytes = count = 0
        while count < min(limit, len(names)) and read_bytes < LISTED_BYTES:
            some = names[count : min(limit, count + READ_AT_ONCE)]
            with redis_errors():
                found = self._client.hmget(self._key(tenant, "records"), some)
            records = {name: record for name, record in zip(some, found, strict=True) if record is not None}
            listed += [_load(tenant, name, record) for name, record in records.items()]
            read_bytes += sum(map(len, records.values()))
            count += len(some)
        return listed, names[count - 1] if len(names) > count else ""


def _dump(dataset: StoredDataset) -> str:
    members = asdict(_cut(dataset))
    for name in ("tenant", "dataset", *(() if members["categories_total"] else ("categories_total",))):
        del members[name]
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _cut(dataset: StoredDataset) -> StoredDataset:
    """Return a dataset with the first categories of its columns, as many as a record may have."""
    left, columns = MOST_CHARACTERS, []
    for column in dataset.columns:
        kept = []
        for category in column.categories[:MOST_SHOWN]:
            left -= len(category)
            if left < 0:
                break
            kept.append(category)
        columns.append(replace(column, categories=tuple(kept)))
    total = tuple(len(column.categories) for column in dataset.columns)
    if total == tuple(len(column.categories) for column in columns):
        return dataset
    return replace(dataset, columns=tuple(columns), categories_total=total)


def _load(tenant: str, dataset: str, record: Any) -> StoredDataset:
    try:
        members = json.loads(record)
        members["categories_total"] = tuple(members.get("categories_total", ()))
        columns = tuple(Column(**{**each, "categories": tuple(each["categories"])}) for each in members.pop("columns"))
        return StoredDataset(tenant=tenant, dataset=dataset, columns=columns, **members)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCorrupt(f"unreadable dataset {dataset}: {error!r}") from error
