"""Converts ONNX operators that rearrange a signal: transpose, reshape, slice, concatenate, take the last step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cellar.interchange.chain import ImportedLayer
from cellar.interchange.onnx.model_file import Node
from cellar.interchange.onnx.values import Axis, FinalState, Part, Signal, Value, need_constant, regroup
from cellar.nn.model.layers.bidirectional import BidirectionalSpec
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.layers.reverse import ReverseSpec

MAX_AXES = 8


def transpose(node: Node, signal: Signal, _: Sequence[Value | None]) -> Signal:
    """Permute the axes."""
    order = node.attribute("perm", list(reversed(range(len(signal.axes)))))
    if sorted(order) != list(range(len(signal.axes))):
        raise node.refused("perm is no order of the axes", expected=f"{len(signal.axes)} axes", actual=str(order))
    return replace(signal, axes=tuple(signal.axes[axis] for axis in order))


def squeeze(node: Node, signal: Signal, inputs: Sequence[Value | None]) -> Signal:
    """Drop axes of size 1."""
    given = _numbers(node, inputs, "axes")
    rank = len(signal.axes)
    axes = {_axis(node, axis, rank) for axis in given} if given is not None else set(_ones(signal.axes))
    if not axes <= set(_ones(signal.axes)):
        raise node.refused("it drops an axis that is not known to be of size 1", actual=str(sorted(axes)))
    return replace(signal, axes=tuple(axis for index, axis in enumerate(signal.axes) if index not in axes))


def unsqueeze(node: Node, signal: Signal, inputs: Sequence[Value | None]) -> Signal:
    """Insert axes of size 1."""
    given = _numbers(node, inputs, "axes") or []
    rank = len(signal.axes) + len(given)
    places = {_axis(node, axis, rank) for axis in given}
    if rank > MAX_AXES or len(places) != len(given):
        raise node.refused("its axes are wrong", actual=str(given))
    rest = iter(signal.axes)
    return replace(signal, axes=tuple(() if index in places else next(rest) for index in range(rank)))


def reshape(node: Node, signal: Signal, inputs: Sequence[Value | None]) -> Signal:
    """Regroup the parts of the axes. Raise ImportRefused for a shape that cuts through one."""
    shape = inputs[1] if len(inputs) > 1 else None
    target = need_constant(node, shape, "shape").sizes if shape is not None else []
    if len(target) > MAX_AXES or node.attribute("allowzero", 0):
        raise node.refused("its shape is wrong", actual=str(len(target)))
    axes = regroup(signal.axes, target)
    if axes is None:
        words = ["a size of the input" if isinstance(size, Part) else str(size) for size in target]
        raise node.refused("it mixes steps, rows and numbers", actual=f"to [{', '.join(words)}]")
    return replace(signal, axes=axes)


def flatten(node: Node, signal: Signal, _: Sequence[Value | None]) -> Signal:
    """Join the axes before one, and those from it on."""
    rank = len(signal.axes)
    axis = node.attribute("axis", 1)
    at = axis if axis == rank else _axis(node, axis, rank)
    parts = [tuple(part for axis in group for part in axis) for group in (signal.axes[:at], signal.axes[at:])]
    return replace(signal, axes=tuple(parts))


def gather(node: Node, signal: Signal, inputs: Sequence[Value | None]) -> Signal:
    """Take one entry of an axis: the last step, a direction of one, or a piece of a state."""
    index = inputs[1] if len(inputs) > 1 else None
    numbers = need_constant(node, index, "indices").array if index is not None else None
    if numbers is None or numbers.ndim > 1 or numbers.size != 1:
        raise node.refused("it takes several entries")
    at = int(numbers.reshape(-1)[0])
    axis = _axis(node, node.attribute("axis", 0), len(signal.axes))
    cut = _cut(node, signal, axis, at, at + 1 or None)
    if numbers.ndim == 1:
        return cut
    return replace(cut, axes=(*cut.axes[:axis], *cut.axes[axis + 1 :]))


def slice_(node: Node, signal: Signal, inputs: Sequence[Value | None]) -> Signal:
    """Take a range of axes: everything, the last step, or a piece of a state."""
    starts, ends = _numbers(node, inputs, "starts", 1), _numbers(node, inputs, "ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        raise node.refused("its starts and ends are wrong")
    axes = _numbers(node, inputs, "axes", 3) or list(range(len(starts)))
    steps = _numbers(node, inputs, "steps", 4) or [1] * len(starts)
    if any(step != 1 for step in steps) or len(axes) != len(starts):
        raise node.refused("it takes every second entry, or turns an axis round", actual=f"steps {steps}")
    for start, end, axis in zip(starts, ends, axes, strict=True):
        signal = _cut(node, signal, _axis(node, axis, len(signal.axes)), start, end)
    return signal


def _cut(node: Node, signal: Signal, axis: int, start: int, end: int | None) -> Signal:
    """Return entries start ... end of an axis."""
    parts = signal.axes[axis]
    size = 1 if all(part.size == 1 for part in parts) else parts[0].size if len(parts) == 1 else None
    whole = end is None or end >= (size or 2**31 - 1)
    if start == 0 and whole:
        return signal
    last = whole and (start == -1 or (size is not None and start == size - 1))
    if size == 1 and start in (0, -1) and end in (None, 0, 1):
        return signal
    if not signal.layers:
        words = f"{start}:{end} of axis {axis}"
        length = end - start if end is not None and 0 <= start < end <= 2**31 else 1 if start == -1 else None
        cut = (Part("open", length),)
        return replace(signal, piece=(*signal.piece, words), axes=_put(signal.axes, axis, cut))
    if last and [part.kind for part in parts if part.size != 1] == ["steps"] and signal.when == "every":
        return replace(signal, when="last", axes=_put(signal.axes, axis, ()))
    raise node.refused(
        "it takes a part of the steps, rows or numbers", expected="the last step", actual=f"{start} to {end}"
    )


def concat(node: Node, values: Sequence[Value | None]) -> Value:
    """Join final states, or the outputs of two layers that read from both ends."""
    if all(isinstance(value, FinalState) or (isinstance(value, Signal) and value.state) for value in values):
        return FinalState(tuple(place for value in values for place in _places(value)))
    if len(values) == 2 and all(isinstance(value, Signal) for value in values):
        first, second = (value for value in values if isinstance(value, Signal))
        joined = _both_ends(node, first, second)
        axis = _axis(node, node.attribute("axis", 0), len(joined.axes)) if joined else 0
        if joined is not None and axis == len(joined.axes) - 1 and joined.numbers_last:
            return joined
    raise node.refused("it joins signals that are not the two directions of one", expected="forward, then reverse")


def _places(value: Value | None) -> tuple[str, ...]:
    if isinstance(value, FinalState):
        return value.places
    assert isinstance(value, Signal)
    return (value.layers[-1].place, "reverse") if value.when == "ends" else (value.layers[-1].place,)


def _both_ends(node: Node, first: Signal, second: Signal) -> Signal | None:
    """Return the signal of a bidirectional layer whose two halves are layers of their own."""
    if not first.layers or first.layers[:-1] != second.layers[:-1] or first.when != "every" or second.when != "every":
        return None
    forward, reverse = first.layers[-1], second.layers[-1]
    if not isinstance(forward.spec, RecurrentSpec) or not isinstance(reverse.spec, ReverseSpec):
        return None
    other = None if reverse.spec.layer == forward.spec else reverse.spec.layer
    weights = {f"forward.{name}": array for name, array in forward.weights.items()}
    weights |= {f"reverse.{name}": array for name, array in reverse.weights.items()}
    layer = ImportedLayer(BidirectionalSpec(layer=forward.spec, reverse_layer=other), weights, node.name)
    axes = (*first.axes[:-1], (Part("numbers", (first.width or 0) + (second.width or 0)),))
    return replace(first, layers=(*first.layers[:-1], layer), axes=axes, state=False)


def _ones(axes: Sequence[Axis]) -> list[int]:
    return [index for index, axis in enumerate(axes) if all(part.size == 1 for part in axis)]


def _put(axes: tuple[Axis, ...], at: int, axis: Axis) -> tuple[Axis, ...]:
    return (*axes[:at], axis, *axes[at + 1 :])


def _axis(node: Node, axis: Any, rank: int) -> int:
    if not isinstance(axis, int) or not -rank <= axis < rank:
        raise node.refused("it names an axis that there is not", expected=f"of {rank} axes", actual=str(axis))
    return axis % rank


def _numbers(node: Node, inputs: Sequence[Value | None], name: str, place: int = 1) -> list[int] | None:
    """Return numbers that older versions have as an attribute and newer ones as an input."""
    if name in node.attributes:
        return list(node.attribute(name))
    value = inputs[place] if place < len(inputs) else None
    if value is None:
        return None
    sizes = need_constant(node, value, name).sizes
    if any(isinstance(size, Part) for size in sizes):
        raise node.refused(f"its {name} depend on the input")
    return sizes


OPERATORS = {
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Reshape": reshape,
    "Flatten": flatten,
    "Gather": gather,
    "Slice": slice_,
}
