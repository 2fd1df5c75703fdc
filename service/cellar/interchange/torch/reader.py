"""Imports state dicts as networks, for files, requests and modules alike."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cellar.interchange.imported import ImportedNetwork, check_finite
from cellar.interchange.torch.inference import infer
from cellar.interchange.torch.modules import Shape, TorchModule, parse_items, refused
from cellar.interchange.torch.resolve import resolve
from cellar.interchange.torch.state_dict import read_state_dict
from cellar.interchange.torch.translate import network_of
from cellar.interchange.torch.wrappers import check_not_computed, unwrapped
from cellar.memory.file_mapping import Memory, in_memory
from cellar.nn.model.network import Network
from cellar.wire.arrays.tensor_file import TensorFile
from cellar.wire.arrays.weights import allocate, seal

Array = NDArray[np.float32]


def read_torch(
    file: TensorFile, modules: Sequence[str] | None = None, ignore: Sequence[str] = (), memory: Memory = in_memory
) -> ImportedNetwork:
    """Return the network of a state dict, a safetensors file.

    `modules` names its modules in the order in which they are called, with functions where they stand; None where
    their names and shapes tell it. Tensors whose names begin with one of `ignore` are left out.
    Raise ImportRefused, which names the tensor or module and says what is missing.
    """
    shapes = {name: shape for name, shape in file.shapes.items() if not ignored(name, ignore)}
    found = modules_in(shapes, modules)
    return assemble(found, shapes, file.read, memory=memory)


def modules_in(shapes: dict[str, Shape], modules: Sequence[str] | None) -> tuple[TorchModule, ...]:
    """Return the modules that a request names, or those that names and shapes tell. Raise ImportRefused."""
    check_not_computed(shapes)
    with _within_limits():
        return infer(shapes) if modules is None else resolve(parse_items(modules), shapes)


@contextmanager
def _within_limits() -> Iterator[None]:
    """Raise ImportRefused for sizes, names and numbers of layers beyond those that specifications may have."""
    try:
        yield
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "modules"
        raise refused(f"a module or the network is too large: {place}: {fault['msg']}", place) from None


def ignored(name: str, begins: Sequence[str]) -> bool:
    """Return whether a tensor is one of those, or of a module among those, that are left out."""
    names = (name, unwrapped(name))
    return any(each == begin or each.startswith(f"{begin}.") for each in names for begin in begins)


def assemble(
    modules: Sequence[TorchModule],
    tensors: Iterable[str],
    read: Callable[[str], Array],
    *,
    ignored: Sequence[str] = (),
    network: Network | None = None,
    memory: Memory = in_memory,
) -> ImportedNetwork:
    """Return the network of modules with the weights that `read` returns by the tensors' names. Raise ImportRefused.

    With `network` it is that one, whose layers with weights must be those of the modules.
    """
    with _within_limits():
        network = Network(network_of(modules)) if network is None else network
    data, weights = allocate(dict(network.parameters), memory)
    read_state_dict(network, modules, tensors, read, weights, ignored)
    check_finite(weights)
    seal(weights)
    return ImportedNetwork(network.spec, weights, origin_of(modules), data)


def origin_of(modules: Sequence[TorchModule]) -> dict[str, Any]:
    """Return the origin to store with a network, so that its weights can be exported with the modules' names."""
    return {"framework": "torch", "modules": [module.model_dump(exclude_defaults=True) for module in modules]}
