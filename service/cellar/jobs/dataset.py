"""A job's dataset as one safetensors blob."""

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellar.errors import StoreCorrupt


def pack_dataset(job: str, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> bytes:
    """Return the bytes of a dataset of float32 arrays in the layout of the job.

    The job's name is written inside, so that two jobs on equal data never share a blob that one of them deletes.
    """
    arrays = {"inputs": np.ascontiguousarray(inputs), "targets": np.ascontiguousarray(targets)}
    return save(arrays, metadata={"job": job})


def unpack_dataset(data: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return inputs and targets. Raise StoreCorrupt if the bytes hold no dataset."""
    try:
        arrays = load(data)
        return arrays["inputs"], arrays["targets"]
    except (SafetensorError, KeyError) as error:
        raise StoreCorrupt(f"unreadable dataset: {error}") from error
