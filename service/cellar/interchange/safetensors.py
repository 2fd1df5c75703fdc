"""Imports networks from safetensors files, with Cellar's names of tensors or those of PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused, MalformedBody
from cellar.interchange.imported import ImportedNetwork, check_finite, check_names_and_shapes
from cellar.interchange.torch.modules import TorchModule
from cellar.interchange.torch.reader import assemble, ignored, modules_in, read_torch
from cellar.interchange.torch.state_dict import bindings
from cellar.interchange.torch.translate import modules_of
from cellar.memory.file_mapping import Memory, in_memory
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.tensor_file import Source, TensorFile
from cellar.wire.arrays.weights import allocate, seal
from cellar.wire.json.document import decode

Array = NDArray[np.float32]
Names = Literal["cellar", "torch"]

CHECK = "check"
"""Tensors called `check.inputs` and `check.outputs` are no weights: the model is compared with them."""

CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file;'
    " save_file(torch.load('model.pt', weights_only=True), 'model.safetensors')\""
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading a file: what its tensors do not determine."""

    network: NetworkSpec | None = None
    """The network whose weights these are; None for one that the tensors describe."""
    names: Names | None = None
    """Whose names the tensors have. None: Cellar's if there is a network and no `modules`, else PyTorch's."""
    modules: Sequence[str] | None = None
    """PyTorch's modules in the order in which they are called."""
    ignore: Sequence[str] = ()
    """Beginnings of the names of tensors that are left out."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """The origin of the network: a framework, and what is needed to export it again."""
    memory: Memory = in_memory
    """Where the weights are read to."""


def open_file(source: Source) -> TensorFile:
    """Return a safetensors file. Raise ImportRefused for files of other formats that are known, or MalformedBody."""
    try:
        return TensorFile(source)
    except MalformedBody:
        head = bytearray(min(64, source.size))
        source.read_into(0, memoryview(head))
        refuse_other_formats(bytes(head))
        raise


def refuse_other_formats(head: bytes) -> None:
    """Raise ImportRefused for a file that begins as those of PyTorch, Keras and HDF5 do, which says how to convert."""
    if head[8:9] == b"{":  # safetensors: the length of the header, whose first byte may be any, and the header
        return
    if head.startswith(b"\x80") or (head.startswith(b"PK") and b".pkl" in head):
        raise ImportRefused(
            "this is a pickle, as torch.save writes it; the service never reads one, because that would run its code",
            place="the file",
            expected="a safetensors file",
            actual="a pickle",
            remedy=f"send it with `cellar import model.pt --name NAME`, or convert it where torch is: {CONVERT}",
        )
    if is_onnx(head):
        raise ImportRefused(
            "this is a model of ONNX",
            place="the file",
            expected="a safetensors file",
            actual="a protobuf message",
            remedy="send it as application/onnx, or with `cellar import model.onnx --name NAME`",
        )
    if head.startswith((b"PK", b"\x89HDF")):
        raise ImportRefused(
            "this is a file of Keras or another archive",
            place="the file",
            expected="a safetensors file",
            actual="a zip archive" if head.startswith(b"PK") else "an HDF5 file",
            remedy="send it with `cellar import model.keras --name NAME`",
        )


def is_onnx(head: bytes) -> bool:
    """Return whether a file begins as a model of ONNX does: with fields 1 and 2, 3, 7 or 8 of its message."""
    return head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42") and head[8:9] != b"{"


def names_in(file: TensorFile) -> Names | None:
    """Return whose names a file says that its tensors have, in the entry `names` of its metadata."""
    match file.metadata.get("names"):
        case "torch":
            return "torch"
        case "cellar":
            return "cellar"
    return None


def origin_in(file: TensorFile) -> dict[str, Any]:
    """Return the origin that a file states in the entry `origin` of its metadata. Raise MalformedJson."""
    found = decode(file.metadata["origin"].encode()) if "origin" in file.metadata else {}
    return found if isinstance(found, dict) else {}


def read_safetensors(file: TensorFile, said: Reading) -> ImportedNetwork:
    """Return the network of a file. Raise ImportRefused, which names the tensor."""
    ignore = (*said.ignore, CHECK)
    if said.network is None:
        return read_torch(file, said.modules, ignore, said.memory)
    network = Network(said.network, pointer="/network")
    if said.names == "torch" or (said.names is None and said.modules is not None):
        return _read_stacked(file, network, said, ignore)
    data, weights = allocate(dict(network.parameters), said.memory)
    shapes = {name: shape for name, shape in file.shapes.items() if not ignored(name, ignore)}
    check_names_and_shapes(network, shapes)
    for name, array in weights.items():
        file.read_into(name, array)
    check_finite(weights)
    seal(weights)
    return ImportedNetwork(said.network, weights, known_origin(network, said.origin), data)


def _read_stacked(file: TensorFile, network: Network, said: Reading, ignore: Sequence[str]) -> ImportedNetwork:
    """Return a network that is given, with the tensors of a state dict."""
    shapes = {name: shape for name, shape in file.shapes.items() if not ignored(name, ignore)}
    modules = names_of_torch(network, said.origin) if said.modules is None else modules_in(shapes, said.modules)
    return assemble(modules, shapes, file.read, network=network, memory=said.memory)


def known_origin(network: Network, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the origin that a file states if it fits the network, else nothing."""
    try:
        bindings(network, torch_modules(origin))
    except (ImportRefused, ValueError, KeyError, TypeError):
        return {}
    return {"framework": "torch", "modules": list(origin["modules"])}


def torch_modules(origin: Mapping[str, Any]) -> tuple[TorchModule, ...]:
    """Return the modules of PyTorch that an origin names. Raise KeyError, TypeError or ValueError."""
    if origin["framework"] != "torch":
        raise ValueError("no modules of PyTorch")
    return tuple(TorchModule.model_validate(module) for module in origin["modules"])


def names_of_torch(network: Network, origin: Mapping[str, Any]) -> tuple[TorchModule, ...]:
    """Return the modules by which PyTorch's names are given: those it comes from, else those of a Sequential."""
    known = known_origin(network, origin)
    return torch_modules(known) if known else modules_of(network)
