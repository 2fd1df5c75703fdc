"""Decides the shape of every input and state: from the graph, and from what the request declares."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellar.errors import ImportRefused
from cellar.onnx_graph.element_types import MOST_EXACT, NAMES, TYPES, Array, TypeName
from cellar.onnx_graph.publishing.state_pairs import Value
from cellar.onnx_graph.spec import ConstantSpec, Dimension, TensorSpec

MOST_CONSTANT = 65_536
"""Numbers in an input that is the same in every step."""

_BATCH = re.compile(r"(?i)n|b|bs|.*batch.*")
"""Names of the axis of rows."""


def value_of(info: Any) -> Value:
    """Return an input or output of a graph. Raise ImportRefused unless it is a tensor of a known type."""
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type") or kind.elem_type not in NAMES:
        raise ImportRefused(
            f"{info.name[:128]!r} is of another type",
            place=info.name[:128] or "input",
            expected=f"a tensor of {', '.join(TYPES)}",
            actual=f"element type {kind.elem_type}" if info.type.HasField("tensor_type") else "no tensor",
        )
    if not info.name or len(info.name) > 128:
        raise ImportRefused(
            "an input or output has no name, or one that is too long",
            place=info.name[:128] or "input",
            expected="1 to 128 characters",
        )
    if not kind.HasField("shape"):
        return Value(info.name, kind.elem_type, None)
    sizes = tuple(size.dim_value if size.dim_value > 0 else (size.dim_param or None) for size in kind.shape.dim)
    return Value(info.name, kind.elem_type, sizes)


def type_of(value: Value) -> TypeName:
    """Return the name of the type of the elements."""
    return NAMES[value.type]


def tensor_of(value: Value, shapes: Mapping[str, Sequence[Dimension]], next_value: Value | None = None) -> TensorSpec:
    """Return an input with its shape. Raise ImportRefused if an axis is not known.

    `next_value` is the output that is the next value of a state: its sizes are those of the state.
    """
    known = value.shape
    if known is not None and next_value is not None and next_value.shape is not None:
        known = tuple(_better(*sizes) for sizes in zip(known, next_value.shape, strict=True))
    declared = shapes.get(value.name)
    if declared is not None:
        return TensorSpec(name=value.name, type=type_of(value), shape=_declared(value.name, known, tuple(declared)))
    if known is None:
        raise _unknown(value, "no shape")
    unknown = [axis for axis, size in enumerate(known) if not isinstance(size, int)]
    named = [axis for axis in unknown if isinstance(known[axis], str) and _BATCH.fullmatch(str(known[axis]))]
    rows = named if len(named) == 1 else unknown
    if len(unknown) > 1:
        raise _unknown(value, str(["?" if size is None else size for size in known]))
    shape = tuple("batch" if axis in rows else size for axis, size in enumerate(known))
    return TensorSpec.model_validate({"name": value.name, "type": type_of(value), "shape": shape})


def _better(mine: int | str | None, its: int | str | None) -> int | str | None:
    return its if isinstance(its, int) or mine is None else mine


def _declared(
    name: str, known: tuple[int | str | None, ...] | None, declared: tuple[Dimension, ...]
) -> tuple[Dimension, ...]:
    """Return a declared shape that agrees with the graph. Raise ImportRefused."""
    fits = known is None or (
        len(known) == len(declared)
        and all(
            not isinstance(size, int) or size == said or (size == 1 and said == "batch")
            for size, said in zip(known, declared, strict=True)
        )
    )
    if not fits or declared.count("batch") > 1:
        raise ImportRefused(
            f"the shape of {name!r} is not that of the graph",
            place=name,
            pointer=f"/graph/shapes/{_escaped(name)}",
            expected="one batch axis at most"
            if fits or known is None
            else str(["?" if s is None else s for s in known]),
            actual=str(list(declared)),
        )
    # an axis of size 1 in the graph holds one row at a time
    return tuple(1 if known is not None and known[axis] == 1 else size for axis, size in enumerate(declared))


def _unknown(value: Value, actual: str) -> ImportRefused:
    rank = 2 if value.shape is None else len(value.shape)
    example = ", ".join(['"batch"', *["64"] * (rank - 1)])
    return ImportRefused(
        f"the graph does not tell all sizes of {value.name!r}",
        place=value.name,
        pointer=f"/graph/shapes/{_escaped(value.name)}",
        expected="a size for each axis of one step, and batch for the axis of rows",
        actual=actual,
        remedy=f'declare them: graph={{"shapes": {{"{value.name}": [{example}]}}}}',
    )


def constant_of(value: Value, numbers: Any) -> ConstantSpec:
    """Return an input with the value that it has in every step. Raise ImportRefused if it does not fit."""
    pointer = f"/graph/constants/{_escaped(value.name)}"
    array = array_of(numbers, type_of(value), value.name, pointer)
    sizes = value.shape
    if sizes is not None and (
        array.ndim != len(sizes)
        or any(isinstance(size, int) and size != its for size, its in zip(sizes, array.shape, strict=True))
    ):
        raise ImportRefused(
            f"the constant {value.name!r} has another shape",
            place=value.name,
            pointer=pointer,
            expected=str(["?" if size is None else size for size in sizes]),
            actual=str(list(array.shape)),
        )
    return ConstantSpec(name=value.name, type=type_of(value), shape=array.shape, value=array.tolist())


def array_of(numbers: Any, name: TypeName, place: str, pointer: str) -> Array:
    """Return a number or nested lists of numbers as an array of a type. Raise ImportRefused."""
    kind = TYPES[name]
    try:
        found = np.asarray(numbers)
    except ValueError:
        found = np.asarray(None)
    if found.dtype.kind not in "iufb" or found.size > MOST_CONSTANT or not found.size:
        raise _wrong(place, pointer, f"a number or nested arrays of up to {MOST_CONSTANT} numbers")
    if kind.is_real:
        with np.errstate(over="ignore"):
            array = found.astype(kind.dtype)
        if not np.isfinite(array).all():
            raise _wrong(place, pointer, f"finite {name}")
        return array
    low, high = kind.limits
    if not ((found >= low) & (found <= high) & (found == np.floor(found))).all():
        raise _wrong(place, pointer, f"whole numbers from {low} to {min(high, MOST_EXACT)}")
    return found.astype(kind.dtype)


def _wrong(place: str, pointer: str, expected: str) -> ImportRefused:
    return ImportRefused(f"the value of {place!r} is not of its type", place=place, pointer=pointer, expected=expected)


def _escaped(name: str) -> str:
    """Return a name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
