"""The one suite of the port BlobStore: in Redis and in a directory."""

import hashlib
import os
import threading
import uuid
from pathlib import Path

import pytest
import redis

from cellar.errors import BlobUnknown, BodyTooLarge, StoreCorrupt, StoreUnavailable
from cellar.ports import BlobStore
from cellar.store.catalogue.blobs.directory import FileBlobs
from cellar.store.catalogue.blobs.redis import CHUNK_BYTES, MAX_BLOB_BYTES, UNFINISHED_S, RedisBlobs
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess


@pytest.fixture(params=["redis", "files"])
def blobs(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> BlobStore:
    """Return an empty store of each kind."""
    if request.param == "redis":
        return RedisBlobs(sync_client(redis_url), f"test-{uuid.uuid4().hex}")
    return FileBlobs(tmp_path / "blobs")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
def test_comes_back_as_it_was(blobs: BlobStore, size: int) -> None:
    data = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)
    digest = blobs.put(data[:size])
    assert digest == hashlib.sha256(data[:size]).hexdigest()
    assert blobs.get(digest) == data[:size]


def test_putting_again_changes_nothing(blobs: BlobStore) -> None:
    assert blobs.put(b"weights") == blobs.put(b"weights")
    assert blobs.get(blobs.put(b"weights")) == b"weights"


def test_unknown_and_deleted_ones_are_unknown(blobs: BlobStore) -> None:
    digest = blobs.put(b"weights")
    blobs.delete(digest)
    blobs.delete(digest)
    with pytest.raises(BlobUnknown):
        blobs.get(digest)
    with pytest.raises(BlobUnknown):
        blobs.get("../../etc/passwd")


def test_can_be_put_after_a_deletion(blobs: BlobStore) -> None:
    blobs.delete(blobs.put(b"weights"))
    assert blobs.get(blobs.put(b"weights")) == b"weights"


def test_writers_of_the_same_bytes_do_not_harm_each_other(blobs: BlobStore) -> None:
    data = b"x" * (CHUNK_BYTES + 5)
    threads = [threading.Thread(target=blobs.put, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blobs.get(hashlib.sha256(data).hexdigest()) == data


class TestInRedis:
    """What only Redis can do wrong."""

    def test_a_missing_part_is_noticed_and_healed_by_putting_again(self, redis_url: str) -> None:
        client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
        blobs, data = RedisBlobs(client, prefix), b"x" * (CHUNK_BYTES + 1)
        digest = blobs.put(data)
        client.delete(f"{prefix}:{{blob/{digest}}}:1")
        with pytest.raises(BlobUnknown):
            blobs.get(digest)
        blobs.put(data)
        assert blobs.get(digest) == data

    def test_a_half_that_somebody_left_is_made_whole_and_stays(self, redis_url: str) -> None:
        client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
        blobs, data = RedisBlobs(client, prefix), b"x" * (CHUNK_BYTES + 1)
        head = f"{prefix}:{{blob/{hashlib.sha256(data).hexdigest()}}}"
        client.set(f"{head}:0", data[:CHUNK_BYTES], ex=UNFINISHED_S)
        assert blobs.get(blobs.put(data)) == data
        assert [client.ttl(key) for key in (head, f"{head}:0", f"{head}:1")] == [-1, -1, -1]

    def test_a_full_redis_is_left_as_it_was(self, redis_process: RedisProcess) -> None:
        with redis_process.client() as client:
            client.set("other", "kept")
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", used + int(2.5 * CHUNK_BYTES))
            with pytest.raises(StoreUnavailable, match="memory limit"):
                RedisBlobs(sync_client(redis_process.url), "test").put(bytes(4 * CHUNK_BYTES))
            assert client.keys() == [b"other"]
            told = client.info("commandstats")["cmdstat_set"]
            assert told["calls"] > 1, "some chunks were stored"
            assert told["rejected_calls"] == 1

    def test_what_a_killed_writer_left_expires(self, redis_process: RedisProcess) -> None:
        with redis_process.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha", "-script")
            with pytest.raises(StoreUnavailable):
                RedisBlobs(sync_client(redis_process.url), "test").put(bytes(CHUNK_BYTES + 1))
            chunks = client.keys()
            assert len(chunks) == 2
            assert all(0 < client.ttl(key) <= UNFINISHED_S for key in chunks)

    def test_damage_is_noticed(self, redis_url: str) -> None:
        client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
        blobs = RedisBlobs(client, prefix)
        digest = blobs.put(b"weights")
        client.set(f"{prefix}:{{blob/{digest}}}:0", b"Weights")
        with pytest.raises(StoreCorrupt):
            blobs.get(digest)

    def test_nothing_is_left_of_a_deleted_one(self, redis_url: str) -> None:
        client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
        blobs = RedisBlobs(client, prefix)
        blobs.delete(blobs.put(b"x" * (2 * CHUNK_BYTES)))
        assert list(client.scan_iter(f"{prefix}:*", count=10_000)) == []

    def test_too_large_ones_are_refused_with_the_way_out(self, redis_url: str) -> None:
        with pytest.raises(BodyTooLarge, match="CELLAR_BLOB_DIR"):
            RedisBlobs(sync_client(redis_url), "test").put(bytes(MAX_BLOB_BYTES + 1))

    def test_a_redis_that_is_gone_is_unavailable(self, tmp_path: Path) -> None:
        blobs = RedisBlobs(redis.Redis(unix_socket_path=str(tmp_path / "gone.sock")), "test")
        with pytest.raises(StoreUnavailable):
            blobs.put(b"weights")


class TestInFiles:
    """What only a file system can do wrong."""

    def test_no_other_client_can_read_them(self, tmp_path: Path) -> None:
        digest = FileBlobs(tmp_path / "blobs").put(b"weights")
        path = tmp_path / "blobs" / digest[:2] / digest
        assert path.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700

    def test_damage_is_noticed_and_a_short_file_is_healed(self, tmp_path: Path) -> None:
        blobs = FileBlobs(tmp_path)
        digest = blobs.put(b"weights")
        path = tmp_path / digest[:2] / digest
        path.write_bytes(b"Weights")
        with pytest.raises(StoreCorrupt):
            blobs.get(digest)
        path.write_bytes(b"")
        blobs.put(b"weights")
        assert blobs.get(digest) == b"weights"

    def test_what_a_killed_writer_left_goes_after_a_day(self, tmp_path: Path) -> None:
        old, young = tmp_path / ".blob-old", tmp_path / ".blob-young"
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (1, 1))
        FileBlobs(tmp_path)
        assert not old.exists()
        assert young.exists()

    def test_a_directory_that_refuses_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "blobs").write_text("a file")
        with pytest.raises(StoreUnavailable):
            FileBlobs(tmp_path / "blobs")
