"""Packs the dataset of a job as one safetensors blob."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellar.errors import StoreCorrupt
from cellar.nn.training.data.dataset import Dataset


def pack_dataset(job: str, data: Dataset) -> bytes:
    """Return the bytes of a dataset.

    They contain the name of the job, so that two jobs with equal data have different blobs and each can delete its own.
    """
    arrays = {"inputs": data.inputs, "targets": data.targets}
    if data.validation is not None:
        arrays["validation_inputs"], arrays["validation_targets"] = data.validation
    packed = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    return save(packed, metadata={"job": job})


def unpack_dataset(data: bytes) -> Dataset:
    """Return the dataset that `pack_dataset` packed. Raise StoreCorrupt for other bytes."""
    try:
        arrays = load(data)
        held_out = "validation_inputs" in arrays
        validation = (arrays["validation_inputs"], arrays["validation_targets"]) if held_out else None
        return Dataset(inputs=arrays["inputs"], targets=arrays["targets"], validation=validation)
    except (SafetensorError, KeyError) as error:
        raise StoreCorrupt(f"unreadable dataset: {error}") from error
