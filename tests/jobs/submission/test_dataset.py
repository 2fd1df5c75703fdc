"""Datasets as blobs."""

import numpy as np
import pytest

from cellar.errors import StoreCorrupt
from cellar.jobs.submission.dataset import pack_dataset, unpack_dataset
from cellar.nn.training.data.dataset import Dataset

INPUTS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
TARGETS = INPUTS[:, :, :1]


@pytest.mark.parametrize("validation", [None, Dataset(INPUTS[:2], TARGETS[:2])])
def test_comes_back_as_it_was(validation: Dataset | None) -> None:
    found = unpack_dataset(pack_dataset("j1", Dataset(INPUTS[::-1], TARGETS, validation)))
    np.testing.assert_array_equal(found.inputs, INPUTS[::-1])
    np.testing.assert_array_equal(found.targets, TARGETS)
    assert (found.validation is None) == (validation is None)
    if found.validation is not None:
        np.testing.assert_array_equal(found.validation.inputs, INPUTS[:2])


def test_lengths_and_weights_come_back() -> None:
    lengths, weights = np.array([4, 2, 3], np.int32), np.ones((4, 3), np.float32)
    part = Dataset(INPUTS[:3], TARGETS[:3], None, lengths - 1, weights[:3])
    data = Dataset(INPUTS, TARGETS, part, lengths, weights)
    found = unpack_dataset(pack_dataset("j1", data))
    for (name, array), (expected_name, expected) in zip(found.arrays, data.arrays, strict=True):
        assert (name, array.dtype, array.tolist()) == (expected_name, expected.dtype, expected.tolist())


def test_two_jobs_on_the_same_data_have_blobs_of_their_own() -> None:
    data = Dataset(INPUTS, TARGETS)
    assert pack_dataset("j1", data) == pack_dataset("j1", data)
    assert pack_dataset("j1", data) != pack_dataset("j2", data)


@pytest.mark.parametrize("data", [b"", b"x" * 100])
def test_what_is_no_dataset_is_refused(data: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        unpack_dataset(data)
