"""The values of an ONNX graph during import: constants, final states, and signals with named axes.

A signal is the output of the layers up to this point, in the graph's shape. An axis of the tensor is a tuple of parts:
steps, rows, directions, numbers. A reshape regroups the same parts, and a layer
finds its axes by these names, not by their sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.chain import ImportedLayer
from cellar.interchange.onnx.model_file import Node

Kind = Literal["open", "steps", "rows", "directions", "numbers"]


@dataclass(eq=False)
class Part:
    """A part of an axis. Parts are compared by identity. A part of open kind gets its kind at its first use."""

    kind: Kind
    size: int | None
    """None if it is not fixed."""

    def become(self, kind: Kind) -> bool:
        """Let an open part be steps or rows; return whether this part is of that kind now."""
        if self.kind == "open":
            self.kind = kind
        return self.kind == kind


Axis = tuple[Part, ...]

When = Literal["every", "last", "ends"]
"""Which steps a signal is of: every one, the last one, or of each direction the one where it ends."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Numbers that are known; with dtype object, sizes of which some are the `Part` that has them."""

    array: NDArray[Any]
    name: str

    @property
    def sizes(self) -> list[Any]:
        """Return a vector as a list of ints and parts."""
        return [value if isinstance(value, Part) else int(value) for value in np.atleast_1d(self.array).tolist()]


@dataclass(frozen=True, slots=True)
class Filled:
    """One number, repeated to a shape that may depend on the input."""

    value: float


@dataclass(frozen=True, slots=True)
class FinalState:
    """Final states of layers, which sessions keep: nothing can be computed of them."""

    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """The output of layers that read an input of the graph."""

    source: str
    """The input of the graph."""
    layers: tuple[ImportedLayer, ...]
    axes: tuple[Axis, ...]
    when: When = "every"
    piece: tuple[str, ...] = ()
    """Of an input that is a state: which part of it, in words."""
    state: bool = False
    """It is also a layer's final state."""

    @property
    def numbers(self) -> tuple[Part, ...]:
        """Return the parts that make a step's numbers, directions first: the order of Cellar's outputs."""
        parts = [part for axis in self.axes for part in axis]
        return (
            *(part for part in parts if part.kind == "directions" and part.size != 1),
            *(part for part in parts if part.kind == "numbers"),
        )

    @property
    def width(self) -> int | None:
        """Return how many numbers there are at each step, None if the graph does not tell."""
        sizes = [part.size for part in self.numbers]
        return None if any(size is None for size in sizes) or not sizes else int(np.prod([s or 0 for s in sizes]))

    @property
    def numbers_last(self) -> bool:
        """Return whether the last axis is all numbers of a step, in order."""
        return bool(self.axes) and tuple(part for part in self.axes[-1] if part.size != 1 or part in self.numbers) == (
            self.numbers
        )

    def with_layers(self, *layers: ImportedLayer, width: int | None = None) -> "Signal":
        """Return the output of further layers; `width` is the size of the last axis, if it changes."""
        axes = self.axes if width is None else (*self.axes[:-1], (Part("numbers", width),))
        return replace(self, layers=(*self.layers, *layers), axes=axes, state=False)


Value = Constant | Filled | Signal | FinalState


def regroup(axes: Sequence[Axis], target: Sequence[Any]) -> tuple[Axis, ...] | None:
    """Return the same parts grouped to the sizes of a Reshape, None if they do not fit.

    A size is a number, a `Part`, 0 for the axis at that place, or -1 for whatever remains.
    """
    parts = [part for axis in axes for part in axis]
    return _regroup(parts, list(target), list(axes), 0)


def _regroup(parts: list[Part], target: list[Any], axes: list[Axis], at: int) -> tuple[Axis, ...] | None:
    if at == len(target):
        return () if all(part.size == 1 for part in parts) else None
    for count in range(len(parts) + 1):
        group = tuple(parts[:count])
        if _fits(group, target[at], axes[at] if at < len(axes) else None):
            rest = _regroup(parts[count:], target, axes, at + 1)
            if rest is not None:
                return (group, *rest)
    return None


def _fits(group: Axis, size: Any, same: Axis | None) -> bool:
    real = tuple(part for part in group if part.size != 1)
    if isinstance(size, Part):
        return real == (size,) or (group == (size,))
    if size == -1:
        return True
    if size == 0:
        return same is not None and real == tuple(part for part in same if part.size != 1)
    if any(part.size is None for part in group):
        return False
    return int(np.prod([part.size or 0 for part in group], dtype=np.int64)) == int(size)


def need_signal(node: Node, value: Value) -> Signal:
    """Return a signal. Raise ImportRefused for any other value."""
    if isinstance(value, Signal):
        return value
    kinds = {Constant: "a constant", Filled: "a constant", FinalState: "a layer's final state"}
    raise node.refused(f"it reads {kinds[type(value)]} where a signal is expected")


def need_constant(node: Node, value: Value, what: str) -> Constant:
    """Return a constant. Raise ImportRefused for any other value."""
    if isinstance(value, Constant):
        return value
    raise node.refused(f"its {what} is computed from the input", expected="a constant")
