"""Writes an archive to Redis: a whole installation to an empty one, or one session or model beside others."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from cellar.errors import AliasMoved, AlreadyExists, StoreCorrupt
from cellar.ports import ANY_VERSION, Alias, BlobStore
from cellar.store.backup import datasets, values
from cellar.store.backup.archive import Record
from cellar.store.backup.keyspace import counted_as, listing, session_of, tag_of
from cellar.store.catalogue.models import RedisModels
from cellar.store.connection.scripts import Scripts
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import redis_errors

KEYS_AT_ONCE = 500

BYTES_AT_ONCE = 4 * 1024 * 1024


def keys_with_data(client: redis.Redis, prefix: str) -> Iterator[bytes]:
    """Yield the keys of an installation that hold data, and not only the coordination of its processes."""
    with redis_errors():
        yield from (key for key in client.scan_iter(match=f"{prefix}:*", count=KEYS_AT_ONCE) if tag_of(key))


def delete_everything(client: redis.Redis, prefix: str) -> None:
    """Delete all keys of an installation. Raise StoreUnavailable."""
    with redis_errors():
        for key in client.scan_iter(match=f"{prefix}:*", count=KEYS_AT_ONCE):
            client.unlink(key)


@dataclass
class Load:
    """Writes records to Redis. `advance` is called with the number of keys that were written."""

    client: redis.Redis
    prefix: str
    blobs: BlobStore
    replace: bool = False
    """Whether a session that exists is replaced."""
    advance: Callable[[int], None] = lambda _: None
    counts: Counter[str] = field(default_factory=Counter)
    dataset_files: BlobStore | None = None
    """The files of datasets; None: they are where the other blobs are."""
    _batch: list[tuple[bytes, Record]] = field(default_factory=list)
    _size: int = 0

    def add(self, record: Record) -> None:
        """Write a record, together with others. Raise AlreadyExists, StoreCorrupt or StoreUnavailable."""
        kind, *parts = record
        if kind == b"key":
            self._batch.append((f"{self.prefix}:".encode() + parts[0], parts))
            self._size += sum(map(len, parts))
            if len(self._batch) >= KEYS_AT_ONCE or self._size >= BYTES_AT_ONCE:
                self.flush()
        elif kind == b"blob":
            self.blobs.put(parts[0])
            self.counts["blobs"] += 1
            self.advance(1)
        elif kind == b"model":
            self._add_version(parts)
        elif kind == b"alias":
            self._add_alias(*(part.decode() for part in parts))
        elif kind == datasets.FILE:
            if self._datasets.add_piece(parts):
                self.counts["dataset_files"] += 1
                self.advance(1)
        elif kind == datasets.RECORD:
            self._datasets.add_record(parts)
            self.counts["datasets"] += 1
        else:
            raise StoreCorrupt("a backup with a record of a newer version of Cellar")

    @cached_property
    def _datasets(self) -> datasets.DatasetLoad:
        return datasets.DatasetLoad(self.client, self.prefix, self.dataset_files or self.blobs)

    def make_room(self, records: Iterator[Record]) -> None:
        """Delete the sessions among the records that exist. Raise AlreadyExists if they are not to be replaced."""
        for kind, *parts in records:
            tag = tag_of(parts[0]) if kind == b"key" else None
            if tag is None or session_of(tag) is None or parts[0] != tag:
                continue
            with redis_errors():
                there = [key for key in self._keys_of(tag) if key.endswith((tag, tag + b":t"))]
                if there and not self.replace:
                    name = tag.decode().strip("{}")
                    raise AlreadyExists(f"the session {name} exists: --replace puts that of the backup in its place")
                for key in self._keys_of(tag) if there else ():
                    self.client.unlink(key)

    def _keys_of(self, tag: bytes) -> list[bytes]:
        pattern = f"{self.prefix}:".encode() + re.sub(rb"([*?\[\]\\])", rb"\\\1", tag) + b"*"
        return [key for key in self.client.scan_iter(match=pattern, count=KEYS_AT_ONCE) if tag_of(key) == tag]

    def flush(self) -> None:
        """Write what was added. Raise StoreUnavailable."""
        if not self._batch:
            return
        keys = SessionKeys(self.prefix)
        with redis_errors(outcome="unknown"), self.client.pipeline(transaction=False) as writes:
            for key, (_, kind, expires, *value) in self._batch:
                writes.execute_command("UNLINK", key)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
                for command in values.writing(kind.decode(), key, value):
                    writes.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
                if int(expires) >= 0:
                    # redis-py is typed in parts
                    writes.execute_command("PEXPIREAT", key, int(expires))  # type: ignore[no-untyped-call]
            for listed in listing(keys, (key for key, _ in self._batch), self.prefix.encode()):
                writes.execute_command(*listed)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
            writes.execute()
        self._count()
        self.advance(len(self._batch))
        self._batch, self._size = [], 0

    def _count(self) -> None:
        for _, (rest, *_) in self._batch:
            if (name := counted_as(rest)) is not None:
                self.counts[name] += 1

    def _add_version(self, parts: list[bytes]) -> None:
        """Add a version of a model under its own number, unless it is there. Raise AlreadyExists for another one."""
        tenant, name, number, record, tags, description = parts
        tag = f"{self.prefix}:{{models}}:{tenant.decode()}"
        keys = [f"{tag}:newest", f"{tag}:highest", f"{tag}:model:{name.decode()}", f"{self.prefix}:{{models}}:weights"]
        keys.append(f"{tag}:about:{name.decode()}")
        scripts = Scripts(self.client, "model", "common")
        with redis_errors(outcome="unknown"):
            arguments: list[Any] = [name, number, record, tags, description]
            if not scripts.run("restore", keys, arguments):
                what = f"{name.decode()}@{number.decode()}"
                raise AlreadyExists(f"there is another version {what}: delete it, or restore into another installation")
        self.counts["versions"] += 1

    def _add_alias(self, tenant: str, name: str, alias: str, version: str) -> None:
        """Let an alias name its version. One that names another version keeps it, unless it is to be replaced."""
        wanted = Alias(tenant, name, alias, int(version), moved_ms=time.time_ns() // 1_000_000)
        with suppress(AliasMoved):
            RedisModels(self.client, self.prefix).move_alias(wanted, ANY_VERSION if self.replace else None)
        self.counts["aliases"] += 1
