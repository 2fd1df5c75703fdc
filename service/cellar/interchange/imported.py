"""The value that all readers of files return: a network and its weights, with checks that they fit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.memory.file_mapping import all_finite
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.weights import dump, with_metadata

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A network and its weights, by the names that Cellar gives them: "0.Wi_r", "1.forward.b_h"."""

    spec: NetworkSpec
    weights: Mapping[str, Array]
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Its origin as JSON: `framework`, and what is needed to export the weights to it again."""
    data: bytes | memoryview | None = None
    """The weights as the registry stores them, of which `weights` are parts then; None if they are arrays elsewhere."""

    def stored(self) -> bytes | memoryview:
        """Return the weights as the registry stores them."""
        return dump(self.weights) if self.data is None else self.data

    def file(self) -> bytes:
        """Return a safetensors file with the weights and the network, which `PUT /v1/models/{model}` takes."""
        about = {"network": self.spec.model_dump_json(exclude_none=True)}
        about |= {"origin": json.dumps(dict(self.origin))} if self.origin else {}
        return b"".join(with_metadata(self.stored(), about))

    def save(self, path: str | Path) -> None:
        """Write `file` to a path."""
        Path(path).write_bytes(self.file())


def check_weights(network: Network, weights: Mapping[str, Array], pointer: str = "/weights") -> None:
    """Raise ImportRefused unless every parameter of the network is there once, of its shape, and finite.

    The error names the tensor; its pointer is that of the tensor below `pointer`.
    """
    check_names_and_shapes(network, {name: array.shape for name, array in weights.items()}, pointer)
    check_finite(weights, pointer)


def check_names_and_shapes(network: Network, shapes: Mapping[str, tuple[int, ...]], pointer: str = "/weights") -> None:
    """Raise ImportRefused unless these are the shapes of the network's parameters by their names."""
    expected = dict(network.parameters)
    for name, shape in expected.items():
        if name not in shapes:
            raise tensor_refused("is missing", name, pointer, expected=_in_words(shape), actual="no such tensor")
        if shapes[name] != shape:
            _refuse_shape(name, shape, shapes[name], pointer)
    for name in shapes:
        if name not in expected:
            raise tensor_refused(
                "is no parameter of this network", name, pointer, expected=_some(expected), actual=name[:128]
            )


def check_finite(weights: Mapping[str, Array], pointer: str = "/weights") -> None:
    """Raise ImportRefused for the first number that is not finite."""
    for name, array in weights.items():
        if not all_finite(array):
            place = np.argwhere(~np.isfinite(array))[0].tolist()
            raise tensor_refused(
                "holds a number that is not finite",
                name,
                pointer,
                expected="finite float32 numbers",
                actual=f"{array[tuple(place)]} at {place}",
            )


def _refuse_shape(name: str, shape: tuple[int, ...], found: tuple[int, ...], pointer: str) -> None:
    remedy = "transpose it" if found == shape[::-1] else None
    raise tensor_refused(
        "has another shape", name, pointer, expected=_in_words(shape), actual=_in_words(found), remedy=remedy
    )


def tensor_refused(
    fault: str, name: str, pointer: str, *, expected: str, actual: str, remedy: str | None = None
) -> ImportRefused:
    """Return the error of one tensor, whose pointer is its name below `pointer`."""
    return ImportRefused(
        f"the tensor {name[:128]!r} {fault}",
        place=name[:128],
        pointer=f"{pointer}/{name[:128].replace('~', '~0').replace('/', '~1')}",
        expected=expected,
        actual=actual,
        remedy=remedy,
    )


def _in_words(shape: tuple[int, ...]) -> str:
    """Return a shape as JSON writes it."""
    return str(list(shape))


def _some(names: Mapping[str, tuple[int, ...]]) -> str:
    """Return the names, or the first of very many."""
    few = list(names)[:32]
    return ", ".join(few) + (f" and {len(names) - 32} more" if len(names) > 32 else "")
