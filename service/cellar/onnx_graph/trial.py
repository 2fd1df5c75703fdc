"""Tries a graph in a process of its own, with limited time and memory, before it is published."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellar.errors import ImportRefused
from cellar.onnx_graph.element_types import TypeName
from cellar.onnx_graph.spec import ConstantSpec, StateSpec, TensorSpec

TIMEOUT_S = 60.0
"""Of the process: twice the processor time that it may take."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a trial, for each output in the order in which they were asked for."""

    types: tuple[TypeName, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of one row."""
    axes: tuple[int | None, ...]
    """The axis of rows, None where rows cannot share a run."""
    alone_because: str | None


def try_graph(
    data: bytes,
    place: str,
    *,
    inputs: Sequence[TensorSpec],
    states: Sequence[StateSpec],
    constants: Sequence[ConstantSpec],
    outputs: Sequence[str],
    example: Mapping[str, Any],
) -> Trial:
    """Run a graph and return the result. Raise ImportRefused if it fails, or takes too much time or memory."""
    varying = [*inputs, *(TensorSpec(name=each.name, type=each.type, shape=each.shape) for each in states)]
    asked = {
        "varying": [tensor.model_dump(mode="json") for tensor in varying],
        "states": [state.name for state in states],
        "fixed": [constant.model_dump(mode="json") for constant in constants],
        "outputs": list(outputs),
        "example": dict(example),
    }
    command = [sys.executable, "-m", "cellar.onnx_graph.trial_process"]
    request = json.dumps(asked).encode() + b"\n" + data
    try:
        ended = subprocess.run(command, input=request, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise _failed(place, "it does not end") from None
    if ended.returncode != 0 or not ended.stdout:
        raise _failed(place, f"it takes too much time or memory (the process ended with {ended.returncode})")
    found = json.loads(ended.stdout)
    if "refused" in found:
        raise _failed(place, found["refused"])
    return Trial(
        tuple(found["types"]),
        tuple(tuple(shape) for shape in found["shapes"]),
        tuple(found["axes"]),
        found.get("alone_because"),
    )


def _failed(place: str, how: str) -> ImportRefused:
    return ImportRefused(
        f"ONNX Runtime does not run the graph: {how}",
        place=place,
        remedy="if an input must have a certain value, give it in `example`; if shapes are wrong, in `shapes`",
    )
