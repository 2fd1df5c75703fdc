"""Outputs as JSON, however many they are, with the axes that the inputs had."""

import numpy as np
import orjson
import pytest

from cellar.api.decoding.steps.step_output import as_json, document_of, laid_out, row_as_json
from cellar.ports import ROW, ROWS, Floats, Position, SessionKey, StepCommand, StepKind, StepResult
from cellar.wire.json.encoding import PART_NUMBERS


def result_of(outputs: Floats, kind: StepKind, layout: str) -> StepResult:
    """Return what steps have come to."""
    steps, rows, _ = outputs.shape
    command = StepCommand(SessionKey("default", "s"), np.zeros((steps, rows, 1), np.float32), kind=kind, layout=layout)
    return StepResult(command, Position(bytes(8), 3, bytes(range(16))), steps, outputs.tobytes(), False)


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (PART_NUMBERS + 1, 1, 1), (7, 100, 101), (1, 1, 2 * PART_NUMBERS), (2, 1, PART_NUMBERS)]
)
def test_outputs_in_parts_are_the_same_text(shape: tuple[int, int, int]) -> None:
    outputs = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    result = result_of(outputs, "sequence", "TBF")
    assert as_json(result) == orjson.dumps(document_of(result), option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.mark.parametrize("number", [7.038531e-26, 0.1, -0.0, 1.0, 3.4e38, 1e-45, 16777216.0])
def test_the_output_of_one_row_is_the_same_text(number: float) -> None:
    """Of numbers too whose shortest float32 form is read as another."""
    result = result_of(np.array([[[number, 1.5]]], np.float32), "step", ROW)
    assert row_as_json(result) == as_json(result)


def test_outputs_have_the_axes_of_their_layout() -> None:
    outputs = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert laid_out(outputs, ROWS).shape == (2, 3)
    assert laid_out(outputs[:, :1], ROW).shape == (3,)
    assert laid_out(outputs, "FB").tolist() == outputs[0].T.tolist()
    assert laid_out(outputs, "TBF") is outputs
