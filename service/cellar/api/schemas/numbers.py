"""Types of arrays of numbers in JSON bodies, and of rows of a session.

The JSON schemas of nested numbers are for the API document alone. `cellar.wire.numbers.numbers` reads these arrays. It
knows the sizes that the model needs, and reports the place of a fault.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from cellar.wire.numbers.text import NumberText

MAX_ROWS = 2**16
"""Most rows that a request names."""

LARGEST = 3.4028235677973362e38
"""The largest float64 that float32 does not round to infinity."""


def _leave_text(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, NumberText) else check(value)


def _listed(value: Any) -> Any:
    """Decode a long array of row numbers, which the JSON reader has left as text."""
    if isinstance(value, NumberText) and value.stop - value.start <= 16 * MAX_ROWS:
        return value.as_list()
    return value


def nested(*depths: int) -> dict[str, Any]:
    """Return the JSON schema of an array of numbers that is nested to one of these depths."""
    choices = [_nested(depth) for depth in depths]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _nested(depth: int) -> dict[str, Any]:
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    return {"type": "array", "minItems": 1, "items": _nested(depth - 1) if depth > 1 else number}


def _listing(*depths: int) -> WithJsonSchema:
    return WithJsonSchema(nested(*depths))


Numbers = Annotated[list[Any], WrapValidator(_leave_text)]
"""Nested arrays of numbers: lists, or the text of a long one."""

StepInput = Annotated[Numbers, _listing(1, 2)]
"""Numbers of a step: of one row, or an array for each row."""

SequenceInputs = Annotated[Numbers, _listing(1, 2, 3)]
"""Numbers of several steps, nested as their layout says."""

LineInputs = Annotated[Numbers, _listing(2, 3)]
"""Numbers of several steps: an array for each step, of one row or of an array for each row."""

Data = Annotated[Any, _listing(1, 2, 3)]
"""Numbers of a dataset, nested as its layout says."""

StateInput = Annotated[Numbers, _listing(2)]
"""Numbers of a state: an array for each row."""

StepOutput = Annotated[list[Any], _listing(1, 2)]
"""Outputs of a step, nested as its `StepInput`."""

SequenceOutputs = Annotated[list[Any], _listing(1, 2, 3)]
"""Outputs of a sequence, nested as its `SequenceInputs`."""

RowsOfSteps = Annotated[list[Any], _listing(3)]
"""Numbers of several steps: an array for each step, of an array for each row."""

Flags = Annotated[list[bool], Field(max_length=MAX_ROWS, fail_fast=True)]
"""A boolean for each row."""

Indices = Annotated[list[int], Field(max_length=MAX_ROWS, fail_fast=True), BeforeValidator(_listed)]
"""Numbers of rows."""
