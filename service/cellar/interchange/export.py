"""Exports networks with their weights as files: safetensors, PyTorch's names, JSON or ONNX."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cellar.interchange.onnx_export import network_model
from cellar.interchange.safetensors import names_of_torch
from cellar.interchange.torch.state_dict import state_dict
from cellar.nn.model.network import Network
from cellar.wire.arrays import tensors
from cellar.wire.arrays.weights import dump, load, with_metadata

Chunks = tuple[bytes | memoryview, ...]
ONNX_MEDIA_TYPE = "application/octet-stream"
"""No type is registered for ONNX."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A version of a model, as it is written to a file."""

    model: str
    """`name@3`."""
    network: Network
    data: bytes | memoryview
    """Its weights, as the registry stores them."""
    origin: Mapping[str, Any]
    """The framework that it was imported from, with what is needed to export it again."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files."""

    media_type: str
    suffix: str
    write: Callable[[Exported], Chunks]
    """Return the file in parts. Raise ImportRefused for a network that it cannot express."""


def write_safetensors(exported: Exported) -> Chunks:
    """Return the weights by Cellar's names, as they are stored, with the network in the metadata."""
    return with_metadata(exported.data, _about(exported))


def write_torch(exported: Exported) -> Chunks:
    """Return a state dict as safetensors, which `load_state_dict` takes."""
    modules = names_of_torch(exported.network, exported.origin)
    found = state_dict(exported.network, modules, load(exported.data))
    origin = {"framework": "torch", "modules": [module.model_dump(exclude_defaults=True) for module in modules]}
    about = _about(exported) | {"names": "torch", "origin": json.dumps(origin)}
    return with_metadata(dump(found), about)


def write_json(exported: Exported) -> Chunks:
    """Return a body for `POST /v1/models`: the network, and all weights as nested arrays."""
    document = {
        "name": exported.model.partition("@")[0],
        "network": exported.network.spec.model_dump(mode="json", exclude_none=True),
        "weights": {name: array.tolist() for name, array in load(exported.data).items()},
    }
    return (orjson.dumps(document),)


def write_onnx(exported: Exported) -> Chunks:
    """Return a model of ONNX whose states are inputs and outputs. Raise ImportRefused without the package onnx."""
    model: bytes = network_model(exported.network, load(exported.data)).SerializeToString()
    return (model,)


FORMATS: Mapping[str, Format] = {
    "safetensors": Format(tensors.MEDIA_TYPE, "safetensors", write_safetensors),
    "torch": Format(tensors.MEDIA_TYPE, "torch.safetensors", write_torch),
    "json": Format("application/json", "json", write_json),
    "onnx": Format(ONNX_MEDIA_TYPE, "onnx", write_onnx),
}


def _about(exported: Exported) -> dict[str, str]:
    """Return the metadata of a file, with which it can be published again."""
    about = {"model": exported.model, "network": exported.network.spec.model_dump_json(exclude_none=True)}
    return about | ({"origin": json.dumps(dict(exported.origin))} if exported.origin else {})
