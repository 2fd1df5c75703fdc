"""Packs the dataset of a job as one safetensors blob."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellar.errors import StoreCorrupt
from cellar.nn.training.data.dataset import Dataset

_VALIDATION = "validation_"


def pack_dataset(job: str, data: Dataset) -> bytes:
    """Return the bytes of a dataset.

    They contain the name of the job, so that two jobs with equal data have different blobs and each can delete its own.
    """
    packed: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(array, dtype=np.int32 if name.endswith("lengths") else np.float32)
        for name, array in data.arrays
    }
    return save(packed, metadata={"job": job})


def unpack_dataset(data: bytes) -> Dataset:
    """Return the dataset that `pack_dataset` packed. Raise StoreCorrupt for other bytes."""
    try:
        arrays = load(data)
        held_out = {name.removeprefix(_VALIDATION): each for name, each in arrays.items() if _VALIDATION in name}
        return _dataset(arrays, _dataset(held_out) if held_out else None)
    except (SafetensorError, KeyError) as error:
        raise StoreCorrupt(f"unreadable dataset: {error}") from error


def _dataset(arrays: Mapping[str, NDArray[Any]], validation: Dataset | None = None) -> Dataset:
    return Dataset(arrays["inputs"], arrays["targets"], validation, arrays.get("lengths"), arrays.get("weights"))
