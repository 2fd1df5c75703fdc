"""Finds the arrays of each layer in an HDF5 file of Keras 3 or of the older format.

Keras 3 saves `layers/gru/cell/vars/0`: the names of groups are those of classes, numbered where one occurs again. The
older form has a group for each layer by its own name, with a list of its arrays; layers inside others follow there.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.interchange.keras.hdf5_contents import Hdf5Contents

Array = NDArray[np.float32]

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""The group of a model's layers: in Keras 3, and in the first files of Keras 2 that had this form."""


class Tensor(NamedTuple):
    """An array and its path in the file."""

    name: str
    array: Array


class Variables(ABC):
    """The arrays of one layer. Layers inside it take their arrays from here."""

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
class _Reading:
    """The contents of a file, and the arrays that were taken."""

    contents: Hdf5Contents
    taken: set[str] = field(default_factory=set)

    def take(self, path: str) -> Tensor:
        """Return an array. Raise ImportRefused."""
        self.taken.add(path)
        return Tensor(path, self.contents.array(path))

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken."""
        for path in self.contents.arrays:
            if path not in self.taken:
                raise ImportRefused(f"no layer has the array {path!r}", place=path)


class SavedVariables(Variables):
    """The arrays of a layer in a `model.weights.h5` of Keras 3."""

    def __init__(self, contents: Hdf5Contents, path: str = "", reading: _Reading | None = None) -> None:
        self.contents = contents
        self._path = path
        self._reading = reading or _Reading(contents)
        self._used: dict[str, int] = {}

    def layer(self, class_name: str, name: str) -> "SavedVariables":
        """Return the arrays of the group that the class and its number give."""
        words = _snake_case(class_name)
        number = self._used.get(words, -1) + 1
        self._used[words] = number
        key = f"{words}_{number}" if number else words
        paths = [f"{self._path}{container}/{key}/" for container in _CONTAINERS]
        found = next((path for path in paths if self._has(path)), paths[0])
        known = self.contents.layers.get(f"{found}vars")
        if known not in (None, name):
            raise ImportRefused(
                f"the arrays of {found!r} are those of the layer {known!r}", place=found, expected=name, actual=known
            )
        return SavedVariables(self.contents, found, self._reading)

    def part(self, name: str) -> "SavedVariables":
        """Return the arrays of the group of that name."""
        return SavedVariables(self.contents, f"{self._path}{name}/", self._reading)

    def take(self, count: int) -> list[Tensor]:
        """Return the arrays 0, 1, ... of the group."""
        return [self._reading.take(f"{self._path}vars/{index}") for index in range(count)]

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken."""
        self._reading.check_all_taken()

    def _has(self, path: str) -> bool:
        names = (*self.contents.arrays, *self.contents.layers)
        return any(name.startswith(path) for name in names)


class LegacyVariables(Variables):
    """The arrays of a layer in a file of the older format, which has a group `model_weights`."""

    def __init__(self, contents: Hdf5Contents, queue: list[str] | None = None, reading: _Reading | None = None) -> None:
        self.contents = contents
        self._queue = queue
        """Paths of the arrays of this layer that were not taken; None in the model itself."""
        self._reading = reading or _Reading(contents)

    def layer(self, class_name: str, name: str) -> "LegacyVariables":
        """Return the arrays of the layer of that name; of one inside another, those that follow."""
        del class_name
        if self._queue is not None:
            return self
        path = f"model_weights/{name}"
        names = [f"{path}/{each}" for each in self.contents.lists.get(path, ())]
        # Generators of random numbers are listed among the weights of layers with dropout.
        return LegacyVariables(self.contents, [each for each in names if "seed_generator" not in each], self._reading)

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
        return [self._reading.take(path) for path in taken]

    def check_all_taken(self) -> None:
        """Raise ImportRefused if an array was not taken."""
        self._reading.check_all_taken()


def _snake_case(name: str) -> str:
    """Return the name of the group of a class: "layer_normalization" for "LayerNormalization"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
