"""Datasets are kept, opened and deleted, in a directory and in Redis."""

import multiprocessing
import os
import signal
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellar.datasets.datasets import ABANDONED_S, SUBMITTED_S, Datasets
from cellar.errors import AlreadyExists, DatasetInUse, DatasetUnknown
from cellar.ports import BlobStore, Job
from cellar.ports.catalogue.datasets import StoredDataset
from cellar.store.catalogue import datasets as records
from cellar.store.catalogue.blobs.directory import FileBlobs
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.catalogue.datasets import RedisDatasets
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.topology.factory import sync_client
from tests.datasets.files import build


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 1_700_000_000.5

    def now_s(self) -> float:
        """Return the time."""
        return self.s


class Kept:
    """Datasets with their stores."""

    def __init__(self, redis_url: str, directory: Path, kind: str) -> None:
        client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
        self.prefix = prefix
        self.directory = directory
        self.clock = Clock()
        self.store = RedisDatasets(client, prefix, self.clock)
        self.jobs = RedisJobs(client, prefix)
        self.blobs: BlobStore = RedisBlobs(client, prefix) if kind == "redis" else FileBlobs(directory / "blobs")
        self.datasets = Datasets(self.store, self.blobs, self.jobs, self.clock)

    def add(self, name: str = "readings", text: str = "temp,x\n1,2\n3,4\n", tenant: str = "default") -> bool:
        """Add a dataset; return whether it was there."""
        built = build(self.directory / "tmp", text)
        with built.file:
            return self.datasets.add(tenant, name, built, "text/csv").replayed

    def files(self) -> list[Path]:
        """Return the files of blobs."""
        return [path for path in (self.directory / "blobs").rglob("*") if path.is_file()]


@pytest.fixture(params=["directory", "redis"])
def kept(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Kept:
    """Return no datasets yet, with blobs of each kind."""
    return Kept(redis_url, tmp_path, request.param)


def test_an_added_dataset_is_opened_and_listed_by_its_tenant(kept: Kept) -> None:
    assert not kept.add()
    table = kept.datasets.open("default", "readings")
    np.testing.assert_array_equal(table.values["temp"], np.array([1, 3], np.float32))
    stored = kept.datasets.get("default", "readings")
    assert (stored.rows, stored.series, stored.columns) == (2, 1, table.columns)
    with pytest.raises(DatasetUnknown):
        kept.datasets.open("other", "readings")
    assert kept.datasets.list("other") == ([], "")
    assert kept.store.size_bytes("default") == stored.size_bytes


def test_a_record_has_the_first_of_many_categories(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_CHARACTERS", 3 * 100)
    text = "a,b,x\n" + "".join(f"a{index},b{index},1\n" for index in range(100, 220))
    kept.add(text=text)
    stored = kept.datasets.get("default", "readings")
    assert [len(column.categories) for column in stored.columns] == [75, 0, 0]
    assert stored.categories_total == (120, 120, 0)
    assert len(kept.datasets.open("default", "readings").column("b").categories) == 120
    assert kept.add(text=text)


def test_a_list_of_long_records_has_pages(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "READ_AT_ONCE", 2)
    monkeypatch.setattr(records, "LISTED_BYTES", 10)
    for name in "abcde":
        kept.add(name)
    found, cursor = kept.datasets.list("default", 4)
    assert ([each.dataset for each in found], cursor) == (["a", "b"], "b")
    found, cursor = kept.datasets.list("default", 3, "b")
    assert ([each.dataset for each in found], cursor) == (["c", "d"], "d")
    assert [each.dataset for each in kept.datasets.list("default", 3, "d")[0]] == ["e"]


def test_the_same_readings_again_are_no_other_dataset(kept: Kept) -> None:
    assert not kept.add()
    assert kept.add()
    with pytest.raises(AlreadyExists):
        kept.add(text="temp,x\n1,2\n")
    assert kept.datasets.open("default", "readings").rows == 2
    if isinstance(kept.blobs, FileBlobs):
        assert len(kept.files()) == 1


class Killed(RedisDatasets):
    """A store whose process is killed when a file is stored and its record is not."""

    def create(self, dataset: StoredDataset) -> StoredDataset | None:  # noqa: ARG002  # it does not get that far
        """End the process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def add_and_be_killed(redis_url: str, prefix: str, directory: Path) -> None:
    """Add a dataset in this process, which does not survive it."""
    clock = Clock()
    store = Killed(sync_client(redis_url), prefix, clock)
    blobs = FileBlobs(directory / "blobs")
    built = build(directory / "tmp", "temp,x\n1,2\n")
    Datasets(store, blobs, RedisJobs(sync_client(redis_url), prefix), clock).add("default", "dead", built, "text/csv")


def test_the_file_of_a_killed_process_is_deleted_later(redis_url: str, tmp_path: Path) -> None:
    kept = Kept(redis_url, tmp_path, "directory")
    kept.add()
    kept.store.announce("default", "readings", kept.datasets.get("default", "readings").blob)  # killed just after
    arguments = (redis_url, kept.prefix, tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=add_and_be_killed, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (len(kept.files()), kept.datasets.sweep()) == (2, 0)
    kept.clock.s += 2 * ABANDONED_S
    assert (kept.datasets.sweep(), kept.datasets.sweep()) == (1, 0)
    assert (len(kept.files()), kept.datasets.open("default", "readings").rows) == (1, 2)
    assert not kept.store.announced()
    with pytest.raises(DatasetUnknown):
        kept.datasets.get("default", "dead")


def test_lists_are_paged_by_name(kept: Kept) -> None:
    for name in ("b", "c", "a"):
        kept.add(name)
    first, cursor = kept.datasets.list("default", 2)
    rest, end = kept.datasets.list("default", 2, cursor)
    assert [each.dataset for each in (*first, *rest)] == ["a", "b", "c"]
    assert (cursor, end) == ("b", "")


def test_a_dataset_that_a_job_needs_is_not_deleted(kept: Kept) -> None:
    kept.add()
    job = Job(tenant="default", job="job-1", state="queued", spec={"model": "m@1"}, created_s=0)
    kept.datasets.pin("default", "readings", "job-1")
    with pytest.raises(DatasetInUse, match="used by 1 job"):  # it may be stored in the next moment
        kept.datasets.delete("default", "readings")
    kept.jobs.create(replace(job, state="queued"))
    kept.clock.s += 2 * SUBMITTED_S
    with pytest.raises(DatasetInUse):
        kept.datasets.delete("default", "readings")
    kept.jobs.cancel("default", "job-1")
    kept.datasets.delete("default", "readings")
    with pytest.raises(DatasetUnknown):
        kept.datasets.open("default", "readings")
    with pytest.raises(DatasetUnknown):
        kept.datasets.pin("default", "readings", "job-2")
    assert not kept.files()
    assert kept.store.size_bytes("default") == 0
