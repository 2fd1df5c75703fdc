"""Encodes results of steps as JSON, or as arrays with the axes of the inputs."""

from typing import Any

import numpy as np
import orjson

from cellar.ports import ROW, ROWS, Floats, StepResult
from cellar.wire.arrays.layout import from_tbf

_FLOAT32, _FLOAT64 = np.dtype("<f4"), np.dtype(np.float64)

PART_NUMBERS = 16 * 1024
"""Numbers written at a time: about a millisecond."""


NAMES = {"step": "output", "sequence": "outputs"}
"""The name in JSON of the outputs of each kind."""


def laid_out(outputs: Floats, layout: str) -> Floats:
    """Return outputs (T, rows, out_size) in a layout."""
    if layout == "TBF":
        return outputs
    if layout in (ROW, ROWS):  # one step, so nothing is copied
        step: Floats = outputs[0] if layout == ROWS else outputs[0, 0]
        return step
    return from_tbf(outputs, layout)


def as_json(result: StepResult) -> bytes:
    """Return `document_of` as JSON. Long outputs are encoded in parts, between which other threads may run."""
    document = document_of(result)
    name = name_of(result)
    numbers = document[name]
    if numbers is not None and numbers.size > PART_NUMBERS:
        entries = max(1, PART_NUMBERS * len(numbers) // numbers.size)
        parts = [
            orjson.dumps(numbers[start : start + entries], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
            for start in range(0, len(numbers), entries)
        ]
        del document[name]
        parts[0] = b'{"%s":[%s' % (name.encode(), parts[0])
        parts[-1] += b"]"
        return b",".join((*parts, orjson.dumps(document)[1:]))  # one copy of all of it
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def row_as_json(result: StepResult) -> bytes:
    """Return a step of one row with a known output as `as_json` does, in less time."""
    assert result.output is not None
    position, numbers = result.position, np.frombuffer(result.output, _FLOAT32).astype(_FLOAT64)
    document = {"output": numbers, "step": position.step, "position": str(position)}
    if result.model is not None:
        document["model"] = result.model
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def document_of(result: StepResult) -> dict[str, Any]:
    """Return the outputs, None if they were not kept, and the position of the session after them.

    If the session follows an alias, the version that ran the steps is a further member.
    """
    position = result.position
    document = {name_of(result): numbers_of(result), "step": position.step, "position": str(position)}
    if result.model is not None:
        document["model"] = result.model
    return document


def name_of(result: StepResult) -> str:
    """Return the name of the outputs in JSON."""
    return NAMES[result.command.kind]


def numbers_of(result: StepResult) -> Any:
    """Return the outputs for JSON, None if they were not kept.

    Numbers are written as float64, so that a client that reads doubles gets the float32 back: the shorter float32
    form of some, such as 7.038531e-26, is read as its neighbour.
    """
    outputs, layout = result.outputs, result.command.layout
    return None if outputs is None else laid_out(outputs, layout).astype(_FLOAT64)
