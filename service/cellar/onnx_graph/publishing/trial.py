"""Tries a graph in a process of its own, with limited time and memory, before it is published."""

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from time import monotonic
from typing import IO, Any

from cellar.engine import is_wanted
from cellar.errors import CompileAbandoned, ImportRefused, Overloaded
from cellar.onnx_graph.element_types import TypeName
from cellar.onnx_graph.spec import ConstantSpec, StateSpec, TensorSpec

TIMEOUT_S = 60.0
"""Of the process: twice the processor time that it may take."""
POLL_S = 0.2
"""How often it is asked whether the client still waits."""


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
    status, output = _run(json.dumps(asked).encode() + b"\n" + data)
    if status is None:
        raise _failed(place, "it does not end")
    if status != 0 or not output:
        raise _failed(place, f"it takes too much time or memory (the process ended with {status})")
    found = json.loads(output)
    if "refused" in found:
        raise _failed(place, found["refused"])
    return Trial(
        tuple(found["types"]),
        tuple(tuple(shape) for shape in found["shapes"]),
        tuple(found["axes"]),
        found.get("alone_because"),
    )


def _run(request: bytes) -> tuple[int | None, bytes]:
    """Return the status and the output of the process, None if its time is over.

    Raise CompileAbandoned when the client has disconnected, or Overloaded if no process can be started.
    """
    command = [sys.executable, "-P", "-m", "cellar.onnx_graph.publishing.trial_process", str(os.getpid())]
    try:
        process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    except OSError as error:
        raise Overloaded(f"no process can be started to try the graph: {error.strerror}") from error
    end_s = monotonic() + TIMEOUT_S
    # `communicate` sends nothing more once it was interrupted
    pipe, process.stdin = process.stdin, None
    threading.Thread(target=_send, args=(pipe, request), daemon=True).start()
    with process:
        while True:
            with suppress(TimeoutExpired):
                output, _ = process.communicate(timeout=POLL_S)
                return process.returncode, output
            if monotonic() > end_s or not is_wanted():
                process.kill()
                if not is_wanted():
                    raise CompileAbandoned("the client has disconnected")
                return None, b""


def _send(pipe: IO[bytes], request: bytes) -> None:
    """Write a request to the process. It may end before it has read all of it."""
    with suppress(OSError), pipe:
        pipe.write(request)


def _failed(place: str, how: str) -> ImportRefused:
    return ImportRefused(
        f"ONNX Runtime does not run the graph: {how}",
        place=place,
        remedy="if an input must have a certain value, give it in `example`; if shapes are wrong, in `shapes`",
    )
