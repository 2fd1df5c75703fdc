"""The arrays of each layer in an HDF5 file, in the order in which the layer keeps them.

Keras 3 saves `layers/gru/cell/vars/0`: the names of groups are those of classes, numbered where one occurs again. The
older form has a group for each layer by its own name, with a list of its arrays; layers inside others follow there.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.interchange.tensors import check_size, float32_array

Array = NDArray[np.float32]

MAX_OBJECTS = 8192
MAX_DEPTH = 24
_NOT_WEIGHTS = ("seed_generator", "optimizer")
"""How parts of paths begin whose arrays serve training alone."""
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""The group of a model's layers: in Keras 3, and in the first files of Keras 2 that had this form."""


class Tensor(NamedTuple):
    """An array and its path in the file."""

    name: str
    array: Array


class Variables(ABC):
    """The arrays of one layer, from which those inside of it take theirs."""

    @abstractmethod
    def layer(self, class_name: str, name: str) -> "Variables":
        """Return the arrays of the next layer of this model."""

    @abstractmethod
    def part(self, name: str) -> "Variables":
        """Return the arrays of an attribute of this layer, such as its cell."""

    @abstractmethod
    def take(self, count: int) -> list[Tensor]:
        """Return the next arrays. Raise ImportRefused if there are fewer, or one is no array of finite numbers."""

    @abstractmethod
    def check_all_taken(self) -> None:
        """Raise ImportRefused if the file has an array that no layer has."""


@dataclass(slots=True)
class _File:
    """The datasets of a file by path, and those that were taken."""

    datasets: dict[str, Any]
    names: dict[str, str]
    """What layers are called, by the path of their group."""
    taken: set[str] = field(default_factory=set)
    numbers: int = 0
    """How many were read: together no more than one array may have."""

    def read(self, path: str) -> Tensor:
        """Return an array. Raise ImportRefused."""
        if path not in self.datasets:
            raise ImportRefused(f"the array {path!r} is missing", place=path)
        self.taken.add(path)
        array = _array(self.datasets[path], path)
        self.numbers += array.size
        check_size([self.numbers], path)
        return Tensor(path, array)

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken that is a weight."""
        for path in self.datasets:
            if path not in self.taken and not any(word.startswith(_NOT_WEIGHTS) for word in path.split("/")):
                raise ImportRefused(f"no layer has the array {path!r}", place=path)


class SavedVariables(Variables):
    """Those of a `model.weights.h5`."""

    def __init__(self, file: Any, path: str = "", read: _File | None = None) -> None:
        self._file = file
        self._path = path
        self._read = read or _File(*_contents(file))
        self._used: dict[str, int] = {}

    def layer(self, class_name: str, name: str) -> "SavedVariables":
        """Return the arrays of the group that the class and its number give."""
        words = _snake_case(class_name)
        number = self._used.get(words, -1) + 1
        self._used[words] = number
        key = f"{words}_{number}" if number else words
        paths = [f"{self._path}{container}/{key}/" for container in _CONTAINERS]
        found = next((path for path in paths if self._has(path)), paths[0])
        known = self._read.names.get(f"{found}vars")
        if known not in (None, name):
            raise ImportRefused(
                f"the arrays of {found!r} are those of the layer {known!r}", place=found, expected=name, actual=known
            )
        return SavedVariables(self._file, found, self._read)

    def part(self, name: str) -> "SavedVariables":
        """Return the arrays of the group of that name."""
        return SavedVariables(self._file, f"{self._path}{name}/", self._read)

    def take(self, count: int) -> list[Tensor]:
        """Return the arrays 0, 1, ... of the group."""
        return [self._read.read(f"{self._path}vars/{index}") for index in range(count)]

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken."""
        self._read.check_all_taken()

    def _has(self, path: str) -> bool:
        return any(name.startswith(path) for name in self._read.datasets) or f"{path}vars" in self._read.names


class LegacyVariables(Variables):
    """Those of a file with `model_weights`."""

    def __init__(self, file: Any, queue: list[str] | None = None, read: _File | None = None) -> None:
        self._file = file
        self._queue = queue
        """Paths of the arrays of this layer that were not taken; None in the model itself."""
        self._read = read or _File(*_contents(file))

    def layer(self, class_name: str, name: str) -> "LegacyVariables":
        """Return the arrays of the layer of that name; of one inside another, those that follow."""
        del class_name
        if self._queue is not None:
            return self
        group = self._file["model_weights"].get(name)
        if group is None:
            return LegacyVariables(self._file, [], self._read)
        names = _attribute_list(group, "weight_names", f"model_weights/{name}")
        return LegacyVariables(self._file, [f"model_weights/{name}/{each}" for each in names], self._read)

    def part(self, name: str) -> "LegacyVariables":
        """Return the same: arrays of parts follow each other."""
        del name
        return self

    def take(self, count: int) -> list[Tensor]:
        """Return the next arrays of the layer's list."""
        queue = self._queue or []
        if len(queue) < count:
            raise ImportRefused("a layer has too few arrays", place=queue[0] if queue else "model_weights")
        taken, self._queue = queue[:count], queue[count:]
        return [self._read.read(path) for path in taken]

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken."""
        self._read.check_all_taken()


def _contents(file: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return all datasets by path, and the names of layers that groups `vars` state. Raise ImportRefused."""
    import h5py

    datasets: dict[str, Any] = {}
    names: dict[str, str] = {}
    for path, item in _walk(file, "", 0, [0]):
        if isinstance(item, h5py.Dataset):
            datasets[path] = item
        elif path.endswith("vars") and isinstance(item.attrs.get("name"), str):
            names[path] = item.attrs["name"]
    return datasets, names


def _walk(group: Any, path: str, depth: int, count: list[int]) -> Iterator[tuple[str, Any]]:
    """Yield everything in a group. Links to other places are refused: a file needs none, and they may leave it."""
    import h5py

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


def _array(dataset: Any, path: str) -> Array:
    """Return the numbers of a dataset that are in this file. Raise ImportRefused."""
    if dataset.is_virtual or dataset.external:
        raise ImportRefused(f"the numbers of {path!r} are in another file", place=path, expected="the data itself")
    if dataset.shape is None or len(dataset.shape) > 2:
        raise ImportRefused(
            f"the array {path!r} is neither a matrix nor a vector", place=path, actual=str(dataset.shape)
        )
    check_size(dataset.shape, path)
    return float32_array(np.asarray(dataset[()]), path)


def _attribute_list(group: Any, name: str, place: str) -> list[str]:
    """Return a list of names, which the older form cuts in pieces `name0`, `name1`, ... where it is long."""
    pieces: list[Any] = list(group.attrs.get(name, ()))
    number = 0
    while name not in group.attrs and f"{name}{number}" in group.attrs and len(pieces) <= MAX_OBJECTS:
        pieces += list(group.attrs[f"{name}{number}"])
        number += 1
    if len(pieces) > MAX_OBJECTS:
        raise ImportRefused("a layer has too many arrays", place=place, expected=f"at most {MAX_OBJECTS}")
    return [piece.decode("utf-8", "replace") if isinstance(piece, bytes) else str(piece) for piece in pieces]


def _snake_case(name: str) -> str:
    """Return what Keras calls the group of a class: "LayerNormalization" is "layer_normalization"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
