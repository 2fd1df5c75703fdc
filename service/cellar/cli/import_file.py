"""Reads a network from a file of another framework, for `cellar import`, which sends it to a service as safetensors.

A file is read in this process and never by the service. `READERS` has a line for each kind of file.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from cellar.errors import CellarError, ImportRefused
from cellar.interchange.flux import names_of_flux, read_flux
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.safetensors import Reading, names_in, open_file, origin_in, read_safetensors
from cellar.interchange.torch.from_module import as_array
from cellar.interchange.torch.reader import assemble, ignored, modules_in
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.tensor_file import FileSource

__all__ = ["READERS", "CellarError", "Import", "Upload", "read", "read_graph"]

POLICY = "policy.pth"
"""The state dict in an archive of Stable-Baselines3."""

MAX_POLICY_BYTES = 512 * 1024 * 1024

STATE_DICTS = ("state_dict", "model_state_dict", "actor_state_dict", "model", "actor_critic", "policy")
"""Where checkpoints have their state dict beside other things."""


@dataclass(frozen=True, slots=True)
class Import:
    """The arguments of the command."""

    file: Path
    modules: tuple[str, ...] | None
    ignore: tuple[str, ...]
    graph: str | None = None
    """Options as JSON for a graph of ONNX that the service hosts as it is; None for a network of cells."""


def read(asked: Import) -> ImportedNetwork:
    """Return the network of a file, by the end of its name. Raise ImportRefused, or another error of the tree."""
    reader = READERS.get(asked.file.suffix.lower())
    if reader is None:
        raise ImportRefused(
            f"{asked.file.name}: files of this kind are not known",
            place=asked.file.name,
            expected=f"a name that ends in {', '.join(READERS)}",
            actual=asked.file.suffix or "no ending",
        )
    try:
        return reader(asked)
    except OSError as error:
        raise ImportRefused(f"{asked.file}: {error.strerror or error}", place=str(asked.file)) from error


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as the service takes it."""

    content: bytes
    media_type: str
    query: Mapping[str, str] = field(default_factory=dict)


def read_graph(asked: Import) -> Upload:
    """Return a file of ONNX, to be hosted as it is with the options of the command. Raise ImportRefused."""
    try:
        query = {"engine": "onnxruntime", "graph": asked.graph or "{}"}
        return Upload(asked.file.read_bytes(), "application/onnx", query)
    except OSError as error:
        raise ImportRefused(f"{asked.file}: {error.strerror or error}", place=str(asked.file)) from error


# --- readers --------------------------------------------------------------------------------------------------------


def _read_safetensors(asked: Import) -> ImportedNetwork:
    """Return the network of a safetensors file: one that Cellar has written, or a state dict."""
    with asked.file.open("rb") as opened:
        file = open_file(FileSource(opened.fileno()))
        network = file.metadata.get("network")
        if network is None and names_of_flux(file.shapes):
            return read_flux(asked.file, asked.modules)
        spec = None if network is None else NetworkSpec.model_validate_json(network)
        said = Reading(spec, names_in(file), asked.modules, asked.ignore, origin_in(file))
        return read_safetensors(file, said)


def _read_policy(asked: Import) -> ImportedNetwork:
    """Return the network of an archive that `save` of Stable-Baselines3 wrote. Raise ImportRefused for another."""
    try:
        with zipfile.ZipFile(asked.file) as archive:
            size = archive.getinfo(POLICY).file_size
            if size > MAX_POLICY_BYTES:
                raise ImportRefused(
                    f"{POLICY!r} is too large", place=POLICY, expected=f"{MAX_POLICY_BYTES} bytes", actual=str(size)
                )
            return _read_torch(asked, io.BytesIO(archive.read(POLICY)))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ImportRefused(
            "this is no archive of Stable-Baselines3, or it is damaged",
            place=str(asked.file),
            expected=f"an archive with {POLICY}",
            actual=str(error)[:200],
        ) from error


def _read_torch(asked: Import, opened: io.BytesIO | None = None) -> ImportedNetwork:
    """Return the network of a file of `torch.save`, which torch reads without running code in it."""
    found = _state_dict(asked.file, opened)
    tensors = {name: as_array(value) for name, value in found.items() if _is_tensor(value)}
    shapes = {name: value.shape for name, value in tensors.items() if not ignored(name, asked.ignore)}
    return assemble(modules_in(shapes, asked.modules), shapes, tensors.__getitem__)


def _state_dict(file: Path, opened: io.BytesIO | None) -> Mapping[str, Any]:
    """Return the state dict in a file or in bytes of it, or in a checkpoint. Raise ImportRefused for anything else."""
    if not os.access(file, os.R_OK):
        raise ImportRefused(f"{file}: there is no such file, or it cannot be read", place=str(file))
    try:
        torch = import_module("torch")  # not a dependency of Cellar, and not in its tests
    except ImportError:
        raise ImportRefused(
            "reading a file of torch.save takes PyTorch, which is not installed here",
            place=str(file),
            remedy="run `pip install torch` with the pip beside this command, or send a safetensors file",
        ) from None
    _refuse_script(file)
    try:
        found = torch.load(opened or file, map_location="cpu", weights_only=True)
    except Exception as error:  # it raises whatever pickles and archives raise
        raise ImportRefused(
            "torch.load(weights_only=True) does not read it: it is damaged, or holds more than tensors",
            place=str(file),
            expected="a state dict",
            remedy="in a Python that has its class: from cellar.interchange.torch import import_torch;"
            " import_torch(module).save('model.safetensors'), and import that file",
        ) from error
    for key in STATE_DICTS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise ImportRefused("the file holds no state dict", place=str(file), actual=type(found).__name__)
    return found if any(_is_tensor(value) for value in found.values()) else _only_state_dict(file, found)


def _only_state_dict(file: Path, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state dict in a checkpoint, whatever its key is. Raise ImportRefused unless there is one."""
    keys = [key for key, each in checkpoint.items() if isinstance(each, Mapping) and each and _all_tensors(each)]
    if len(keys) != 1:
        raise ImportRefused(
            f"the file holds {'several state dicts' if keys else 'no state dict'}",
            place=str(file),
            expected="one state dict",
            actual=", ".join(keys or checkpoint)[:200] or "nothing",
            remedy=f"save it alone: torch.save(torch.load({file.name!r})[{(keys or ['...'])[0]!r}], 'model.pt')",
        )
    found: Mapping[str, Any] = checkpoint[keys[0]]
    return found


def _all_tensors(found: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and _is_tensor(value) for name, value in found.items())


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach")


def _refuse_script(file: Path) -> None:
    """Raise ImportRefused for an archive of TorchScript, which `torch.load` would run."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        if any("/code/" in name for name in archive.namelist()):
            raise ImportRefused(
                "this is a program of TorchScript, as torch.jit.save writes it",
                place=str(file),
                expected="a state dict",
                remedy=f"save its weights: torch.save(torch.jit.load({file.name!r}).state_dict(), 'model.pt')",
            )


def _read_keras(asked: Import) -> ImportedNetwork:
    from cellar.interchange.keras import read_keras

    return read_keras(asked.file)


def _read_onnx(asked: Import) -> ImportedNetwork:
    from cellar.interchange.onnx import read_onnx

    try:
        return read_onnx(asked.file)
    except ImportRefused as error:
        error.remedy = error.remedy or "let the service host the graph as it is: --graph '{}'"
        raise


def _read_flux(asked: Import) -> ImportedNetwork:
    return read_flux(asked.file, asked.modules)


READERS: Mapping[str, Callable[[Import], ImportedNetwork]] = {
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
    ".ckpt": _read_torch,
    ".zip": _read_policy,
    ".keras": _read_keras,
    ".h5": _read_keras,
    ".hdf5": _read_keras,
    ".onnx": _read_onnx,
    ".npz": _read_flux,
}
