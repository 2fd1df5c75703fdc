"""The built-in cells, one TOML file each, with equations in the same language that users write."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

FRAMEWORKS = ("torch", "keras", "onnx", "flux")
"""Frameworks whose layout of parameters a cell's file may state, in a table of that name."""


NOTHING = "0"
"""Stands in an array for numbers that must be zero, as many as the first parameter there has."""


@dataclass(frozen=True, slots=True)
class StackedArray:
    """One array of a framework, in which parameters of the cell are stacked."""

    name: str
    parts: tuple[str, ...]
    """Parameters of the cell. One that stands in several places is their sum; `NOTHING` is zero."""
    transposed: bool = False
    """The array has a column for each output, where the cell's matrices have a row."""
    optional: bool = False
    """It may be left out; then it adds nothing."""
    shape: tuple[int, ...] | None = None
    """Of an array of vectors that is not simply as long as they are; -1 is the length that remains."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a framework keeps the parameters of a cell."""

    layer: str
    """The framework's name for a layer of such cells."""
    arrays: tuple[StackedArray, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that the layer must have to be this cell, such as `reset_after = true`."""


@dataclass(frozen=True, slots=True)
class CellSpec:
    """The content of the file of a built-in cell."""

    name: str
    title: str
    source: str
    equations: str
    activations: tuple[str, ...] = ()
    """The functions that can replace `activation` in the equations, the default first; empty without that name."""
    stacked: tuple[tuple[str, ...], ...] = ()
    """Matrices that Flux stores in one array: the fan of a Glorot initialiser counts all of them."""
    sizes: tuple[str, ...] = ()
    """Sizes besides those of input and state, which the layer gives as `proj_size` and the like."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """Initialisers as in the JSON of a network; the others are Glorot uniform for matrices and zeros for the rest."""
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    """By framework (`FRAMEWORKS`), for those that have this cell."""

    def text(self, activation: str | None = None) -> str:
        """Return the equations with `activation` replaced. Raise KeyError for a function that is not allowed there."""
        if not self.activations:
            return self.equations
        chosen = activation or self.activations[0]
        if chosen not in self.activations:
            raise KeyError(chosen)
        return self.equations.replace("activation", "" if chosen == "identity" else chosen)


def _load(name: str, text: str) -> CellSpec:
    data = tomllib.loads(text)
    return CellSpec(
        name,
        data["title"],
        data["source"],
        data["equations"].lstrip("\n"),
        tuple(data.get("activations", ())),
        tuple(tuple(group) for group in data.get("stacked", ())),
        tuple(data.get("sizes", ())),
        data.get("init", {}),
        {framework: _layout(data[framework]) for framework in FRAMEWORKS if framework in data},
    )


def _layout(data: dict[str, Any]) -> Layout:
    arrays = tuple(_stacked_array(name, array) for name, array in data["arrays"].items())
    return Layout(data["layer"], arrays, data.get("options", {}))


def _stacked_array(name: str, data: dict[str, Any]) -> StackedArray:
    """Return an array whose parameters are its `rows` or its `columns`."""
    shape = data.get("shape")
    return StackedArray(
        name,
        tuple(data["columns"] if "columns" in data else data["rows"]),
        transposed="columns" in data,
        optional=data.get("optional", False),
        shape=None if shape is None else tuple(shape),
    )


BUILT_IN: Mapping[str, CellSpec] = {
    path.name.removesuffix(".toml"): _load(path.name.removesuffix(".toml"), path.read_text("utf-8"))
    for path in sorted(files(__name__).iterdir(), key=lambda path: path.name)
    if path.name.endswith(".toml")
}
