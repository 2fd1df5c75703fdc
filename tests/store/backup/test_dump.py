"""An installation goes from one Redis server or cluster to another prefix, with keys that expire, and nothing twice."""

import io
import uuid
from pathlib import Path

import numpy as np
import pytest
import redis

from cellar.errors import BlobUnknown, SessionUnknown, StoreCorrupt
from cellar.ports import SessionKey
from cellar.store.backup import datasets
from cellar.store.backup.archive import ArchiveReader, ArchiveWriter
from cellar.store.backup.dump import Dump
from cellar.store.backup.load import Load, delete_everything, keys_with_data
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.keys import SessionKeys
from cellar.store.topology.factory import sync_client
from tests.datasets.test_datasets import Kept

FAR_S = 10**6


def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


def fill(client: redis.Redis, own: str, count: int) -> str:
    """Write keys as an installation has them, with this number of sessions, and return the digest of a blob."""
    keys, digest = SessionKeys(own), RedisBlobs(client, own).put(b"weights" * 100)
    for number in range(count):
        session = SessionKey("acme", f"s{number}")
        client.hset(keys.record(session), mapping={b"h": b"\x00" * 20, b"s": bytes([number % 256])})
        client.set(keys.tombstone(session), b"gru@1", ex=FAR_S)
        client.set(keys.mark(session), b"1", ex=FAR_S)
        client.zadd(keys.bucket_of(session), {session.session: 0})
    client.hset(f"{own}:{{models}}:acme:model:gru", "1", f'{{"digest":"{"0" * 64}","weights":"{digest}"}}')
    client.hset(f"{own}:{{jobs}}:acme/job", "spec", f'{{"data":{{"blob":"{digest}"}}}}')
    client.set(f"{own}:window", 32)
    return digest


def copy(client: redis.Redis, own: str, other: str, file: Path, *, is_cluster: bool) -> tuple[Dump, Load]:
    """Back an installation up, and restore it with another prefix."""
    blobs = RedisBlobs(client, own)
    with file.open("wb") as opened:
        dump = Dump(client, own, blobs, ArchiveWriter(opened, {"format": 1}), is_cluster)
        found = [key.decode() for key in client.scan_iter(match=f"{own}:{{blob/*}}")]
        dump.everything(lambda: [key.partition("/")[2].rstrip("}") for key in found])
        dump.archive.finish({"counts": dict(dump.counts)})
    load = Load(client, other, RedisBlobs(client, other))
    with ArchiveReader(file) as archive:
        for record in archive.records():
            load.add(record)
        load.flush()
        assert archive.trailer()["counts"] == dict(load.counts)
    return dump, load


def test_an_installation_is_the_same_with_another_prefix(redis_url: str, tmp_path: Path) -> None:
    client, own, other = sync_client(redis_url), prefix(), prefix()
    digest = fill(client, own, 70)
    dump, load = copy(client, own, other, tmp_path / "all", is_cluster="cluster" in redis_url)
    assert dump.counts == load.counts == {"sessions": 70, "catalogue_keys": 2, "blobs": 1}
    keys = SessionKeys(other)
    for number in (0, 69):
        session = SessionKey("acme", f"s{number}")
        assert client.hget(keys.record(session), "s") == bytes([number])
        assert 0 < client.ttl(keys.tombstone(session)) <= FAR_S
        assert not client.exists(keys.mark(session))
        assert client.zscore(keys.bucket_of(session), session.session) == 0
    assert RedisBlobs(client, other).get(digest) == b"weights" * 100
    assert not client.exists(f"{other}:window")
    for each in (own, other):
        delete_everything(client, each)
        assert list(keys_with_data(client, each)) == []


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_datasets_are_part_of_a_backup(
    redis_url: str, tmp_path: Path, tenant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "PIECE_BYTES", 4096)  # the file has several pieces
    kept = [Kept(redis_url, tmp_path / name, "directory") for name in ("one", "other")]
    rows = "".join(f"{number},{number % 7}\n" for number in range(3000))
    kept[0].add(text=f"temp,x\n{rows}", tenant="acme")
    client, file = sync_client(redis_url), tmp_path / "backup"
    with file.open("wb") as opened:
        archive = ArchiveWriter(opened, {"format": 1})
        dump = Dump(client, kept[0].prefix, RedisBlobs(client, "none"), archive, "cluster" in redis_url)
        dump.dataset_files = kept[0].blobs
        dump.everything(list) if tenant is None else dump.tenant(tenant)
        archive.finish({})
    load = Load(client, kept[1].prefix, RedisBlobs(client, "none"), dataset_files=kept[1].blobs)
    for _ in range(2):  # again it changes nothing
        with ArchiveReader(file) as reader:
            for record in reader.records():
                load.add(record)
        load.flush()
    tables = [each.datasets.open("acme", "readings") for each in kept]
    assert tables[0].rows == tables[1].rows == 3000
    np.testing.assert_array_equal(tables[0].values["temp"], tables[1].values["temp"])
    assert kept[1].datasets.list("acme")[0] == kept[0].datasets.list("acme")[0]
    assert kept[1].store.size_bytes("acme") == kept[0].store.size_bytes("acme")


def test_a_blob_that_is_gone_is_left_out(redis_url: str, tmp_path: Path) -> None:
    client, own, other = sync_client(redis_url), prefix(), prefix()
    digest = fill(client, own, 1)
    RedisBlobs(client, own).delete(digest)
    dump, _ = copy(client, own, other, tmp_path / "all", is_cluster="cluster" in redis_url)
    assert dump.counts["blobs"] == 0
    with pytest.raises(BlobUnknown):
        RedisBlobs(client, other).get(digest)
    with pytest.raises(SessionUnknown):
        dump.session(SessionKey("acme", "nothing"))
    for each in (own, other):
        delete_everything(client, each)


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_file_that_is_cut_or_changed_is_refused_as_a_whole(cut: int, tmp_path: Path) -> None:
    opened = io.BytesIO()
    archive = ArchiveWriter(opened, {"format": 1})
    archive.add([b"key", bytes(range(256)), b""])
    archive.finish({})
    whole = opened.getvalue()
    file = tmp_path / "file"
    for damaged in (whole[:-cut], whole[:-cut] + bytes([whole[-cut] ^ 1]) + whole[len(whole) - cut + 1 :]):
        file.write_bytes(damaged)
        with pytest.raises(StoreCorrupt), ArchiveReader(file):
            pass
    file.write_bytes(whole)
    with ArchiveReader(file) as reader:
        assert list(reader.records()) == [[b"key", bytes(range(256)), b""]]
        assert reader.trailer() == {}
