"""A job's dataset as one safetensors blob."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellar.errors import StoreCorrupt
from cellar.nn.training.data.dataset import Dataset


def pack_dataset(job: str, data: Dataset) -> bytes:
    """Return the bytes of a dataset.

    The job's name is written inside, so that two jobs on equal data never share a blob that one of them deletes.
    """
    arrays = {"inputs": data.inputs, "targets": data.targets}
    if data.validation is not None:
        arrays["validation_inputs"], arrays["validation_targets"] = data.validation
    packed = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    return save(packed, metadata={"job": job})


def unpack_dataset(data: bytes) -> Dataset:
    """Return the dataset of `pack_dataset`. Raise StoreCorrupt if the bytes hold none."""
    try:
        arrays = load(data)
        held_out = "validation_inputs" in arrays
        validation = (arrays["validation_inputs"], arrays["validation_targets"]) if held_out else None
        return Dataset(inputs=arrays["inputs"], targets=arrays["targets"], validation=validation)
    except (SafetensorError, KeyError) as error:
        raise StoreCorrupt(f"unreadable dataset: {error}") from error
