"""Reads files with weights: parts of a large one, those of `torch.save`, and those that the service's package reads."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cellar_client.errors import ImportRefused

PART_BYTES = 2**18

STATE_DICTS = ("state_dict", "model_state_dict", "model", "actor_critic", "policy")
"""Members under which checkpoints have their state dict."""


def parts_of_file(path: Path) -> Iterator[bytes]:
    """Yield the parts of a file."""
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def read_torch_file(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file of `torch.save`, or in a checkpoint. No code in it is run. Raise ValueError."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise ValueError(f"{path} is a file of PyTorch, which is not installed here: pip install torch") from error
    found = torch.load(path, map_location="cpu", weights_only=True)
    for name in STATE_DICTS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds no state dict but {type(found).__name__}")
    return {name: value for name, value in found.items() if hasattr(value, "detach")}


def network_of_file(path: Path, modules: Sequence[str] | None, ignore: Sequence[str]) -> bytes:
    """Return the network of a file of another framework as a safetensors file. Raise ImportRefused, or ValueError."""
    path.stat()
    try:
        reader = import_module("cellar.cli.import_file")
    except ImportError as error:
        raise ValueError(
            f"{path} is not .safetensors, .json, .pt, .pth, .bin or .ckpt: other files are read by the package"
            " `cellar`, which is not installed here, or by the command `cellar import` where it is"
        ) from error
    asked = reader.Import(path, None if modules is None else tuple(modules), tuple(ignore))
    try:
        content: bytes = reader.read(asked).file()
    except reader.CellarError as error:
        document = {name: getattr(error, name, None) for name in ("detail", "place", "expected", "actual", "remedy")}
        raise ImportRefused({**document, "type": "import_refused", "status": 422}) from error
    return content
