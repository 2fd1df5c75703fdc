"""A process that loads a graph and runs it for one row and for several, before it is published.

A graph may take all memory or never end. It does so here, within the limits of this process. The one that started it
(`trial`) writes a line of JSON and the file to its input, and reads JSON from its output.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellar.onnx_graph.element_types import NAMES, TYPES, Array
from cellar.onnx_graph.runtime import open_session
from cellar.onnx_graph.spec import TensorSpec
from cellar.process import end_with_parent

MEMORY_BYTES = 6 * 1024**3
"""Of addresses, most of which the libraries map and do not use."""
CPU_S = 30
ROWS = 3
"""Rows that are run together and one by one, with other numbers in each."""
STEP_S = 1.0
"""The longest time of a step of one row."""
NEAR = {"rtol": 1e-3, "atol": 1e-4}
"""How far rows that are run together may be from those that are run alone: only another order of sums."""

Tensors = Mapping[str, Array]


def main(parent: int) -> None:
    """Write the types and shapes of outputs and why rows cannot share a run, or a refusal."""
    end_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    asked = json.loads(sys.stdin.buffer.readline())
    try:
        found = _try(sys.stdin.buffer.read(), asked)
    except Exception as error:  # ONNX Runtime has errors of many kinds, without a common class
        found = {"refused": _first_line(error)}
    sys.stdout.write(json.dumps(found))


def _try(data: bytes, asked: Mapping[str, Any]) -> dict[str, Any]:
    session = open_session(data)
    outputs = list(asked["outputs"])
    varying = [TensorSpec.model_validate(each) for each in asked["varying"]]
    fixed = {
        each["name"]: np.asarray(each["value"], TYPES[each["type"]].dtype).reshape(each["shape"])
        for each in asked["fixed"]
    }
    rng = np.random.default_rng(0)
    rows = [{tensor.name: _example(tensor, asked["example"], rng) for tensor in varying} for _ in range(ROWS)]
    shared = {tensor.name: rows[0][tensor.name] for tensor in varying if tensor.batch_axis is None}
    rows = [row | shared for row in rows]
    alone = [session.run(outputs, fixed | row) for row in rows]
    began_s = time.monotonic()
    session.run(outputs, fixed | rows[0])
    took_s = time.monotonic() - began_s
    if took_s > STEP_S:
        return {"refused": f"a step takes {took_s:.1f} s, and may take {STEP_S:g} s"}
    shapes = [list(value.shape) for value in alone[0]]
    if any([list(value.shape) for value in values] != shapes for values in alone):
        return {"refused": "the shapes of outputs differ from step to step"}
    found = {"types": [NAMES[_number(value)] for value in alone[0]], "shapes": shapes, "axes": [None] * len(outputs)}
    batched = [tensor for tensor in varying if tensor.batch_axis is not None]
    if not batched or shared.keys() & set(asked["states"]):
        return found | {"alone_because": "a state has no batch axis" if batched else "no input has a batch axis"}
    try:
        together = session.run(outputs, fixed | shared | _joined(batched, rows))
    except Exception as error:  # as above
        return found | {"alone_because": f"a run of {ROWS} rows fails: {_first_line(error)}"}
    return found | _compared(outputs, alone, together)


def _compared(outputs: Sequence[str], alone: Sequence[Sequence[Array]], together: Sequence[Array]) -> dict[str, Any]:
    """Return the axis of rows of each output, or why rows cannot share a run."""
    axes: list[int] = []
    for place, (name, joined) in enumerate(zip(outputs, together, strict=True)):
        single = alone[0][place].shape
        grown = [axis for axis, size in enumerate(joined.shape) if single[axis : axis + 1] != (size,)]
        if len(grown) != 1 or (len(single), single[grown[0]], joined.shape[grown[0]]) != (joined.ndim, 1, ROWS):
            return {"alone_because": f"the output {name!r} has no batch axis"}
        (axis,) = grown
        for row in range(ROWS):
            if not np.allclose(np.take(joined, [row], axis), alone[row][place], **NEAR, equal_nan=True):
                return {"alone_because": f"rows that are run together change each other in the output {name!r}"}
        axes.append(axis)
    return {"axes": axes}


def _example(tensor: TensorSpec, given: Mapping[str, Any], rng: np.random.Generator) -> Array:
    """Return the numbers of a row: those of the request, else small random ones, or zero for integers."""
    shape = tensor.full_shape(1)
    if tensor.name in given:
        return np.asarray(given[tensor.name], tensor.kind.dtype).reshape(shape)
    if tensor.kind.is_real:
        return np.asarray(rng.normal(0, 0.1, shape)).astype(tensor.kind.dtype)
    return np.zeros(shape, tensor.kind.dtype)


def _joined(varying: Sequence[TensorSpec], rows: Sequence[Tensors]) -> dict[str, Array]:
    return {
        tensor.name: np.concatenate([row[tensor.name] for row in rows], axis=tensor.batch_axis or 0)
        for tensor in varying
    }


def _number(value: Array) -> int:
    """Return the number of the type of an output. Raise ValueError for one that is no tensor of numbers."""
    for kind in TYPES.values():
        if getattr(value, "dtype", None) == kind.dtype:
            return kind.number
    raise ValueError("an output is no tensor of numbers")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    main(int(sys.argv[1]))
