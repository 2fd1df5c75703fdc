"""Datasets are kept, opened and deleted, in a directory and in Redis."""

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellar.datasets.datasets import SUBMITTED_S, Datasets
from cellar.errors import AlreadyExists, DatasetInUse, DatasetUnknown
from cellar.ports import BlobStore, Job
from cellar.store.catalogue.blobs_directory import FileBlobs
from cellar.store.catalogue.blobs_redis import RedisBlobs
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


def test_the_same_readings_again_are_no_other_dataset(kept: Kept) -> None:
    assert not kept.add()
    assert kept.add()
    with pytest.raises(AlreadyExists):
        kept.add(text="temp,x\n1,2\n")
    assert kept.datasets.open("default", "readings").rows == 2
    if isinstance(kept.blobs, FileBlobs):
        assert len(kept.files()) == 1


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
