"""Outputs as JSON, however many they are."""

import numpy as np
import orjson
import pytest

from cellar.api.decoding.step_input import PART_NUMBERS, Asked, as_json, document_of_answer, one_row, row_as_json
from cellar.ports import APPEND, Position
from cellar.sessions.values.results import StepAnswer


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (PART_NUMBERS + 1, 1, 1), (7, 100, 101), (1, 1, 2 * PART_NUMBERS), (2, 1, PART_NUMBERS)]
)
def test_outputs_in_parts_are_the_same_text(shape: tuple[int, int, int]) -> None:
    outputs = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    asked = Asked(np.zeros((1, 1, 1), np.float32), APPEND, False, lambda found: found, "inputs")
    answer = StepAnswer(Position(bytes(8), 3, bytes(16)), outputs, False)
    whole = orjson.dumps(document_of_answer("outputs", asked, answer), option=orjson.OPT_SERIALIZE_NUMPY)
    assert as_json("outputs", asked, answer) == whole


@pytest.mark.parametrize("number", [7.038531e-26, 0.1, -0.0, 1.0, 3.4e38, 1e-45, 16777216.0])
def test_the_output_of_one_row_is_the_same_text(number: float) -> None:
    """Of numbers too whose shortest float32 form is read as another."""
    outputs = np.array([[[number, 1.5]]], np.float32)
    asked = Asked(np.zeros((1, 1, 1), np.float32), APPEND, False, one_row, "input")
    answer = StepAnswer(Position(bytes(8), 3, bytes(range(16))), outputs, False)
    assert row_as_json(answer.position, outputs.tobytes()) == as_json("output", asked, answer)
