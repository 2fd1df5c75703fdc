"""Encodes results of steps as JSON, or as arrays with the axes of the inputs."""

from typing import Any

import numpy as np
import orjson

from cellar.ports import ROW, ROWS, Floats, StepResult
from cellar.wire.arrays.layout import from_tbf
from cellar.wire.json.encoding import PART_NUMBERS, dump_json

_FLOAT32, _FLOAT64 = np.dtype("<f4"), np.dtype(np.float64)

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
    outputs = result.outputs
    if outputs is None or outputs.size <= PART_NUMBERS:
        return orjson.dumps(document_of(result), option=orjson.OPT_SERIALIZE_NUMPY)
    return dump_json({name_of(result): laid_out(outputs, result.command.layout), **_place_of(result)})


def row_as_json(result: StepResult) -> bytes:
    """Return a step of one row with a known output as `as_json` does, in less time."""
    assert result.output is not None
    position, numbers = result.position, np.frombuffer(result.output, _FLOAT32).astype(_FLOAT64)
    document = {"output": numbers, "step": position.step, "position": str(position)}
    if result.model is not None:
        document["model"] = result.model
    if result.command.scored:
        document["score"] = scores_of(result)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def document_of(result: StepResult) -> dict[str, Any]:
    """Return the outputs, None if they were not kept, and the position of the session after them.

    If the session follows an alias, the version that ran the steps is a further member.
    """
    return {name_of(result): numbers_of(result), **_place_of(result)}


def _place_of(result: StepResult) -> dict[str, Any]:
    position = result.position
    place: dict[str, Any] = {"step": position.step, "position": str(position)}
    if result.model is not None:
        place["model"] = result.model
    if result.command.scored:
        place["score"] = scores_of(result)
    return place


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


def scores_of(result: StepResult) -> Any:
    """Return the scores for JSON, nested as the outputs with a number for each target; None if they were not kept."""
    if result.scores is None:
        return None
    rows = result.command.inputs.shape[1]
    scores = np.frombuffer(result.scores, _FLOAT32).reshape(result.steps, rows, -1)
    return laid_out(scores, result.command.layout).astype(_FLOAT64)
