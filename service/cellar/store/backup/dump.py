"""Reads an installation, one tenant, one session or one model from Redis into an archive, while services may run.

Each session is read in one transaction, and so is the catalogue: models, jobs, API keys. They are not of one moment:
sessions are read first, then the catalogue, then blobs, so that everything that a session refers to is in the backup.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from cellar.errors import BlobUnknown, ModelUnknown, SessionUnknown, StoreUnavailable
from cellar.ports import BlobStore, SessionKey
from cellar.store.backup import values
from cellar.store.backup.archive import ArchiveWriter
from cellar.store.backup.datasets import DatasetDump
from cellar.store.backup.keyspace import counted_as, is_catalogue, is_kept, tag_of
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

SCAN_COUNT = 1000

SESSIONS_AT_ONCE = 32
"""Sessions in one transaction: Redis is busy for less than a millisecond."""

TRIES = 5
"""Of a transaction in which a key has another type than it had when it was found, and of blobs that jobs replace."""

DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

REFERENCE = re.compile(rb'"([^"@]{1,256})@[0-9]+"')
"""A model version in the metadata of a session, a snapshot or a shadow."""


Entry = tuple[bytes, str, int, list[bytes]]
"""A key, its type, when it expires (ms since the Unix epoch, -1 for never), and its value."""


@dataclass
class Dump:
    """Writes keys and blobs to an archive. `advance` is called with the number of them that were written."""

    client: redis.Redis
    prefix: str
    blobs: BlobStore
    archive: ArchiveWriter
    is_cluster: bool
    advance: Callable[[int], None] = lambda _: None
    counts: Counter[str] = field(default_factory=Counter)
    digests: set[str] = field(default_factory=set)
    """Blobs that were looked for."""
    dataset_files: BlobStore | None = None
    """The files of datasets; None: they are where the other blobs are."""

    def everything(self, digests: Callable[[], Iterable[str]]) -> None:
        """Write all keys of the installation, and all blobs, whose digests are asked for last.

        Raise StoreUnavailable or StoreCorrupt.
        """
        groups: dict[bytes, list[bytes]] = {}
        for key in self._scan("*"):
            tag = tag_of(key)
            if tag is not None and is_kept(key):
                groups.setdefault(tag, []).append(key)
        sessions = [keys for tag, keys in groups.items() if not is_catalogue(tag)]
        count = 1 if self.is_cluster else SESSIONS_AT_ONCE
        for begin in range(0, len(sessions), count):
            self._write(self._read([key for keys in sessions[begin : begin + count] for key in keys]))
        names = {tag for tag in groups if is_catalogue(tag)}
        for tag in sorted(names, key=lambda tag: tag == b"{jobs}"):
            self._write(self._read(self._keys_of(tag)))
        self._datasets().all_files(self.digests, self.counts, self.advance)
        for digest in digests():
            self._blob(digest)
        self._blobs_of_jobs()

    def _datasets(self) -> DatasetDump:
        return DatasetDump(self.client, self.prefix, self.dataset_files or self.blobs, self.archive)

    def session(self, key: SessionKey) -> None:
        """Write a session, and the models and blobs that it needs. Raise SessionUnknown too."""
        record = SessionKeys(self.prefix).record(key)
        tag = tag_of(record)
        assert tag is not None
        found = self._read([each for each in self._keys_of(tag) if is_kept(each)])
        if record not in (each[0] for each in found):
            raise SessionUnknown(f"no session {key.session!r} of the tenant {key.tenant}")
        self._write(found)
        content = b"\n".join(part for _, _, _, value in found for part in value)
        for name in sorted(set(REFERENCE.findall(content))):
            self.model(key.tenant, name.decode())

    def tenant(self, tenant: str) -> None:
        """Write all sessions of a tenant, then all its models and datasets."""
        groups: dict[bytes, list[bytes]] = {}
        for key in self._scan(f"{{{tenant}/*"):
            tag = tag_of(key)
            if tag is not None and is_kept(key):
                groups.setdefault(tag, []).append(key)
        for keys in groups.values():
            self._write(self._read(keys))
        with redis_errors():
            names = self.client.hkeys(f"{self.prefix}:{{models}}:{tenant}:newest")
        for name in sorted(map(text, names)):
            self.model(tenant, name)
        self._datasets().of_tenant(tenant, self.counts)

    def model(self, tenant: str, name: str) -> None:
        """Write all versions of a model, their weights, and its aliases. Raise ModelUnknown too."""
        tag = f"{self.prefix}:{{models}}:{tenant}"
        with redis_errors(), self.client.pipeline() as both:
            both.hgetall(f"{tag}:model:{name}")
            both.hgetall(f"{tag}:about:{name}")
            both.hgetall(f"{tag}:aliases:{name}")
            versions, about, aliases = both.execute()
        if not versions:
            raise ModelUnknown(f"no model {name!r} of the tenant {tenant}")
        for number, record in sorted(versions.items(), key=lambda item: int(item[0])):
            texts = [about.get(letter + number, b"") for letter in (b"t", b"d")]
            self.archive.add([b"model", tenant.encode(), name.encode(), number, record, *texts])
            self.counts["versions"] += 1
            self._blob(str(json.loads(record)["weights"]))
        for alias, stored in sorted(aliases.items()):
            self.archive.add([b"alias", tenant.encode(), name.encode(), alias, stored.split(b" ")[0]])
            self.counts["aliases"] += 1

    def _blobs_of_jobs(self) -> None:
        """Write the blobs that jobs have written since the jobs were read, with the jobs as they are then."""
        for _ in range(TRIES):
            jobs = self._read(self._keys_of(b"{jobs}"))
            content = b"\n".join(part for _, _, _, value in jobs for part in value)
            wanted = {digest.decode() for digest in DIGEST.findall(content)}
            if not (missing := wanted - self.digests):
                return
            self._write(jobs)
            for digest in missing:
                self._blob(digest)

    def _blob(self, digest: str) -> None:
        """Write a blob once; one that does not exist any longer is left out."""
        if digest in self.digests:
            return
        self.digests.add(digest)
        with suppress(BlobUnknown):
            self.archive.add([b"blob", self.blobs.get(digest)])
            self.counts["blobs"] += 1
            self.advance(1)

    def _keys_of(self, tag: bytes) -> list[bytes]:
        escaped = re.sub(rb"([*?\[\]\\])", rb"\\\1", tag).decode()
        return [key for key in self._scan(f"{escaped}*") if tag_of(key) == tag]

    def _scan(self, pattern: str) -> Iterator[bytes]:
        with redis_errors():
            yield from self.client.scan_iter(match=f"{self.prefix}:{pattern}", count=SCAN_COUNT)

    def _write(self, found: Sequence[Entry]) -> None:
        for key, kind, expires_ms, value in found:
            rest = key[len(self.prefix) + 1 :]
            self.archive.add([b"key", rest, kind.encode(), str(expires_ms).encode(), *value])
            if (name := counted_as(rest)) is not None:
                self.counts[name] += 1
        self.advance(len(found))

    def _read(self, keys: Sequence[bytes]) -> list[Entry]:
        """Return keys with their values, all of one moment if they share a slot or there is one server."""
        if not keys:
            return []
        with redis_errors():
            for _ in range(TRIES):
                with self.client.pipeline(transaction=False) as types:
                    for key in keys:
                        types.type(key)
                    kinds = [kind.decode() for kind in types.execute()]
                there = [(key, kind) for key, kind in zip(keys, kinds, strict=True) if kind != "none"]
                found = self._read_as(there)
                if found is not None:
                    return found
        raise StoreUnavailable("keys change their types again and again", outcome="not_applied")

    def _read_as(self, keys: Sequence[tuple[bytes, str]]) -> list[Entry] | None:
        """Return keys of these types, None if one has another type by now."""
        if not keys:
            return []
        with self.client.pipeline(transaction=True) as reads:
            if not self.is_cluster:
                reads.time()
            for key, kind in keys:
                for command in values.reading(kind, key):
                    reads.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
                reads.pttl(key)
            replies = reads.execute(raise_on_error=False)
        now_ms = self._now_ms(replies)
        at = 0 if self.is_cluster else 1
        found: list[Entry] = []
        for key, kind in keys:
            count = len(values.reading(kind, key))
            own, ttl_ms = replies[at : at + count], replies[at + count]
            at += count + 1
            if isinstance(own[0], Exception):
                if "WRONGTYPE" in str(own[0]):
                    return None
                raise own[0]
            value = values.packed(kind, own)
            if value is not None:
                found.append((key, kind, -1 if ttl_ms < 0 else now_ms + ttl_ms, value))
        return found

    def _now_ms(self, replies: Sequence[Any]) -> int:
        seconds, micros = self.client.time() if self.is_cluster else replies[0]
        return int(seconds) * 1000 + int(micros) // 1000
