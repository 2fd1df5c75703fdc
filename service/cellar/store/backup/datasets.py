"""Datasets in a backup: their records, and their files in pieces, because a file may be larger than the memory."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import redis

from cellar.errors import AlreadyExists, BlobUnknown, StoreCorrupt
from cellar.memory.file_mapping import pieces
from cellar.ports import BlobStore
from cellar.store.backup.archive import ArchiveWriter, Record
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors

PIECE_BYTES = 4 * 1024 * 1024

FILE, RECORD = b"dataset file", b"dataset"
"""Kinds of records: a piece of a file with its digest, its offset and the size of the file; and a dataset."""


class DatasetDump:
    """Writes datasets to an archive."""

    def __init__(self, client: redis.Redis, prefix: str, files: BlobStore, archive: ArchiveWriter) -> None:
        self._client = client
        self._tag = f"{prefix}:{{datasets}}"
        self._files = files
        self._archive = archive

    def all_files(self, digests: set[str], counts: Counter[str], advance: Callable[[int], None]) -> None:
        """Write the files of all datasets, and note their digests. Raise StoreUnavailable."""
        with redis_errors():
            keys = list(self._client.scan_iter(match=f"{self._tag}:*:records", count=1000))
        for key in keys:
            for _, record in self._records(key):
                self._file(str(json.loads(record)["blob"]), digests, counts)
                advance(1)

    def of_tenant(self, tenant: str, counts: Counter[str]) -> None:
        """Write the datasets of a tenant with their files. Raise StoreUnavailable."""
        for name, record in self._records(f"{self._tag}:{tenant}:records"):
            if self._file(str(json.loads(record)["blob"]), set(), counts):
                self._archive.add([RECORD, tenant.encode(), name, record])
                counts["datasets"] += 1

    def _records(self, key: Any) -> Iterator[tuple[bytes, bytes]]:
        with redis_errors():
            found: Any = self._client.hgetall(key)
        yield from sorted(found.items())

    def _file(self, digest: str, digests: set[str], counts: Counter[str]) -> bool:
        """Write a file; return False for one that was deleted meanwhile."""
        digests.add(digest)
        with suppress(BlobUnknown):
            data = self._files.map(digest)
            for number, piece in enumerate(pieces(data.data, PIECE_BYTES)):
                place = [str(number * PIECE_BYTES).encode(), str(len(data)).encode()]
                self._archive.add([FILE, digest.encode(), *place, bytes(piece)])
            counts["dataset_files"] += 1
            return True
        return False


class DatasetLoad:
    """Writes datasets of an archive to an installation."""

    def __init__(self, client: redis.Redis, prefix: str, files: BlobStore) -> None:
        self._scripts = Scripts(client, "dataset")
        self._tag = f"{prefix}:{{datasets}}"
        self._files = files
        self._open: Any = None

    def add_piece(self, parts: Record) -> bool:
        """Write a piece of a file; return whether it was the last one. Raise StoreCorrupt or StoreUnavailable."""
        digest, offset, size, piece = parts
        if int(offset) == 0:
            self._open = tempfile.TemporaryFile()  # noqa: SIM115  # it is closed with the last piece
        self._open.write(piece)
        if int(offset) + len(piece) < int(size):
            return False
        self._open.flush()
        with self._open:
            if (
                os.fstat(self._open.fileno()).st_size != int(size)
                or self._files.put_file(self._open) != digest.decode()
            ):
                raise StoreCorrupt(f"the file {digest.decode()} of a dataset is damaged")
        return True

    def add_record(self, parts: Record) -> None:
        """Write a dataset, unless it is there. Raise AlreadyExists or StoreUnavailable."""
        tenant, name, record = parts
        keys = [f"{self._tag}:{tenant.decode()}:{each}" for each in ("records", "names", "bytes")]
        members = json.loads(record)
        with redis_errors(outcome="unknown"):
            found = self._scripts.run("create", keys, [name, record, members["size_bytes"]])
        if found is not None and json.loads(found)["digest"] != members["digest"]:
            raise AlreadyExists(f"there is another dataset {name.decode()!r}: delete it first")
