"""Safetensors files in memory: eight bytes of length, a header in JSON, then the bytes of all tensors.

Source: github.com/huggingface/safetensors, section Format.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE = "application/safetensors"

Tensors = Mapping[str, NDArray[Any]]

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


def dump(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return named tensors as a file. Numbers of other types than float and integer become float32."""
    header: dict[str, Any] = {} if not metadata else {"__metadata__": dict(metadata)}
    parts, at = [], 0
    for name, value in tensors.items():
        array = _known(np.asarray(value))
        part = array.tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(part)],
        }
        parts.append(part)
        at += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def load(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by name. Raise ValueError."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    return {name: _tensor(content, 8 + length, entry) for name, entry in header.items()}


def _known(array: NDArray[Any]) -> NDArray[Any]:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little if little.dtype.str in _NAMES else little.astype("<f4")).reshape(array.shape)


def _tensor(content: bytes, start: int, entry: dict[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    if entry["dtype"] == "BF16":
        halves = np.frombuffer(content[start + begin : start + end], "<u2").astype("<u4") << 16
        return halves.view("<f4").reshape(entry["shape"])
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"tensors of type {entry['dtype']} cannot be read")
    return np.frombuffer(content[start + begin : start + end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
