"""A process that reads an HDF5 file of Keras and writes its arrays as safetensors and its attributes as JSON.

    python -m cellar.interchange.keras.hdf5_reader FILE DIRECTORY

The HDF5 library may crash, loop or take all memory on a damaged file. It does so here, within the limits of this
process, and the one that started it (`hdf5_contents`) reads files of formats that are safe. Nothing outside of the file
is read: links, external storage and virtual datasets are refused.
"""

import json
import math
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from cellar.errors import ImportRefused
from cellar.interchange.tensors import check_size

MEMORY_BYTES = 4 * 1024**3
"""Of addresses: the largest weights twice, as float64, and what the libraries map."""
CPU_S = 30
MAX_OBJECTS = 8192
MAX_DEPTH = 24
MAX_TEXT_BYTES = 4 * 1024 * 1024
NOT_WEIGHTS = ("seed_generator", "optimizer")
"""How parts of paths begin whose arrays serve training alone."""


def main(file: str, directory: str) -> None:
    """Write `arrays.safetensors` and `contents.json`, or a refusal as `contents.json`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    found: dict[str, Any]
    try:
        with h5py.File(file, "r") as opened:
            found = _contents(opened, Path(directory))
    except ImportRefused as error:
        found = {"refused": error.fields() | {"detail": error.detail}}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError, IndexError) as error:
        text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        found = {"refused": {"detail": f"the HDF5 file is damaged: {text}", "place": Path(file).name}}
    (Path(directory) / "contents.json").write_text(json.dumps(found))


def _contents(file: Any, directory: Path) -> dict[str, Any]:
    """Write all weights, and return the attributes of groups that describe layers. Raise ImportRefused."""
    arrays: dict[str, NDArray[Any]] = {}
    layers: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    numbers = 0
    for path, item in _walk(file, "", 0, [0]):
        if isinstance(item, h5py.Dataset):
            if not any(word.startswith(NOT_WEIGHTS) for word in path.split("/")):
                numbers += item.size or 0
                check_size([numbers], path)
                arrays[path] = _array(item, path)
        elif path.endswith("vars") and "name" in item.attrs:
            layers[path] = _text(item, "name", path)
        elif path.startswith("model_weights/") and path.count("/") == 1:
            lists[path] = _names(item, "weight_names", path)
    save_file(arrays, directory / "arrays.safetensors")
    model = _text(file, "model_config", "model_config") if "model_config" in file.attrs else None
    version = _text(file, "keras_version", "keras_version") if "keras_version" in file.attrs else "2"
    return {"model": model, "version": version, "layers": layers, "lists": lists}


def _walk(group: Any, path: str, depth: int, count: list[int]) -> Iterator[tuple[str, Any]]:
    """Yield everything in a group. Links to other places are refused: a file needs none, and they may leave it."""
    for name in group:
        count[0] += 1
        place = f"{path}{name}"
        if count[0] > MAX_OBJECTS or depth > MAX_DEPTH:
            raise ImportRefused("the HDF5 file has too many objects", place=place, expected=f"at most {MAX_OBJECTS}")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ImportRefused(f"{place!r} is a link to another place", place=place, expected="the data itself")
        item = group[name]
        yield place, item
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{place}/", depth + 1, count)


def _array(dataset: Any, path: str) -> NDArray[Any]:
    """Return the numbers of a dataset that are in this file. Raise ImportRefused."""
    if dataset.is_virtual or dataset.external:
        raise ImportRefused(f"the numbers of {path!r} are in another file", place=path, expected="the data itself")
    if dataset.shape is None or len(dataset.shape) > 2:
        raise ImportRefused(
            f"the array {path!r} is neither a matrix nor a vector", place=path, actual=str(dataset.shape)
        )
    if dataset.dtype.kind != "f":
        raise ImportRefused(
            f"the array {path!r} holds no real numbers", place=path, expected="float32", actual=str(dataset.dtype)
        )
    return np.ascontiguousarray(dataset[()]).astype(dataset.dtype.newbyteorder("="))


def _text(item: Any, name: str, place: str) -> str:
    """Return an attribute that is a text. Raise ImportRefused if it is too long."""
    value = _attribute(item, name, place)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _names(group: Any, name: str, place: str) -> list[str]:
    """Return a list of names, which the older form cuts in pieces `name0`, `name1`, ... where it is long."""
    pieces = [name] if name in group.attrs else []
    while not pieces or pieces[0] != name:
        piece = f"{name}{len(pieces)}"
        if piece not in group.attrs or len(pieces) > MAX_OBJECTS:
            break
        pieces.append(piece)
    values = [each for piece in pieces for each in np.asarray(_attribute(group, piece, place)).reshape(-1).tolist()]
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values]


def _attribute(item: Any, name: str, place: str) -> Any:
    """Return an attribute. Raise ImportRefused, before it is read, if it is too large."""
    about = item.attrs.get_id(name)
    if about.dtype.itemsize * max(1, math.prod(about.shape)) > MAX_TEXT_BYTES:
        raise ImportRefused(f"{name} is too long", place=place, expected=f"at most {MAX_TEXT_BYTES} bytes")
    return item.attrs[name]


if __name__ == "__main__":
    main(*sys.argv[1:])
