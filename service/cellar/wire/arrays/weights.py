"""Weights as safetensors: names to float32 arrays. The same weights are always the same bytes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from cellar.errors import InvalidInput, NotFinite


def dump(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return float32 arrays of any shape as one safetensors file, ordered by name whatever order they come in."""
    return bytes(_save({name: np.asarray(weights[name], dtype=np.float32, order="C") for name in sorted(weights)}))


def load(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a safetensors file, which need not be one that `dump` wrote.

    Raise InvalidInput if it is damaged or holds another type than float32, NotFinite if a number is not finite.
    """
    try:
        weights = _load(data)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(f"not a safetensors file: {error}") from error
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise InvalidInput(f"weight {name!r} is {array.dtype}", expected="float32", actual=str(array.dtype))
        if not np.isfinite(array).all():
            raise NotFinite(f"weight {name!r} holds a number that is not finite")
    return weights
