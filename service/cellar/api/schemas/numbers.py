"""Types of arrays of numbers in JSON bodies, and of rows of a session.

The JSON schemas of nested numbers are for the API document alone. `cellar.wire.numbers.numbers` reads these arrays. It
knows the sizes that the model needs, and reports the place of a fault.
"""

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from cellar.wire.numbers.text import NumberText

MAX_ROWS = 2**16
"""Most rows that a request names."""

LARGEST = 3.4028235677973362e38
"""The largest float64 that float32 does not round to infinity."""


def _leave_text(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, NumberText) else check(value)


def _leave_rows(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, dict) else check(value)


READING = {"type": ["number", "string", "boolean", "null"]}
"""The JSON schema of a value of a row of readings."""

READINGS = {"type": "object", "additionalProperties": READING}
"""The JSON schema of a row of readings by the names of columns."""


def listed(value: Any) -> Any:
    """Decode a long array of row numbers, which the JSON reader has left as text."""
    if isinstance(value, NumberText) and value.stop - value.start <= 16 * MAX_ROWS:
        return value.as_list()
    return value


def nested(*depths: int, null_numbers: bool = False, null_rows: bool = False) -> dict[str, Any]:
    """Return the JSON schema of an array of numbers that is nested to one of these depths.

    Each number may be null, or each innermost array of several.
    """
    number = {"type": ["number", "null"] if null_numbers else "number", "minimum": -LARGEST, "maximum": LARGEST}
    choices = [_nested(depth, number, null_rows=null_rows) for depth in depths]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _nested(depth: int, number: dict[str, Any], *, null_rows: bool) -> dict[str, Any]:
    inner = number if depth == 1 else _nested(depth - 1, number, null_rows=null_rows)
    if depth == 2 and null_rows:
        inner = inner | {"type": ["array", "null"]}
    return {"type": "array", "minItems": 1, "items": inner}


def _listing(*depths: int) -> WithJsonSchema:
    return WithJsonSchema(nested(*depths))


def _inputs(*depths: int) -> WithJsonSchema:
    """Return the schema of inputs: null stands for a row that takes no part in the step.

    A model with readings also takes rows as objects, and null or a text in the place of a number.
    """
    numbers = nested(*depths, null_rows=True)
    rows = [_rows_of_readings(depth - 1) for depth in depths]
    return WithJsonSchema({"anyOf": [*numbers.get("anyOf", [numbers]), *rows]})


def _rows_of_readings(depth: int) -> dict[str, Any]:
    """Return the schema of rows of readings in a number of arrays."""
    row = {"anyOf": [READINGS, {"type": "array", "minItems": 1, "items": READING}]}
    if depth == 0:
        return row
    inner = {"anyOf": [*row["anyOf"], {"type": "null"}]} if depth == 1 else _rows_of_readings(depth - 1)
    return {"type": "array", "minItems": 1, "items": inner}


def _outputs(*depths: int) -> WithJsonSchema:
    """Return the schema of outputs: the numbers of a row that took no part in the step are null."""
    return WithJsonSchema(nested(*depths, null_numbers=True))


Numbers = Annotated[list[Any], WrapValidator(_leave_text)]
"""Nested arrays of numbers: lists, or the text of a long one."""

StepInput = Annotated[Numbers, WrapValidator(_leave_rows), _inputs(1, 2)]
"""Numbers of a step: of one row, or an array for each row; or readings by the names of columns."""

SequenceInputs = Annotated[Numbers, _inputs(1, 2, 3)]
"""Numbers of several steps, nested as their layout says."""

LineInputs = Annotated[Numbers, _inputs(2, 3)]
"""Numbers of several steps: an array for each step, of one row or of an array for each row."""

Data = Annotated[Any, _listing(1, 2, 3)]
"""Numbers of a dataset, nested as its layout says."""

DataWithGaps = Annotated[Any, WithJsonSchema(nested(1, 2, 3, null_numbers=True))]
"""Numbers of a dataset, of which each may be null."""

_FLAG: dict[str, Any] = {"type": ["boolean", "integer"], "minimum": 0, "maximum": 1}

NestedFlags = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                _nested(depth, {"type": ["boolean", "integer"], "minimum": 0, "maximum": 1}, null_rows=False)
                for depth in (1, 2, 3)
            ]
        }
    ),
]
"""Booleans of a dataset, nested as its layout says."""

StateInput = Annotated[Numbers, _listing(2)]
"""Numbers of a state: an array for each row."""

TargetsOfSteps = Annotated[Numbers, _listing(2)]
"""Targets of several steps: an array for each step."""

StepOutput = Annotated[list[Any], _outputs(1, 2)]
"""Outputs of a step, nested as its `StepInput`."""

SequenceOutputs = Annotated[list[Any], _outputs(1, 2, 3)]
"""Outputs of a sequence, nested as its `SequenceInputs`."""

RowsOfSteps = Annotated[list[Any], _outputs(3)]
"""Numbers of several steps: an array for each step, of an array for each row."""

Flags = Annotated[list[bool], Field(max_length=MAX_ROWS, fail_fast=True)]
"""A boolean for each row."""

FlagsOfSteps = Annotated[list[Flags], Field(min_length=1, max_length=MAX_ROWS, fail_fast=True)]
"""For each step a boolean for each row, or one boolean for all rows."""


def _kind_of_reset(value: Any) -> str:
    if not isinstance(value, list):
        return "all"
    return "steps" if value and isinstance(value[0], list) else "rows"


ResetOfSteps = Annotated[
    Annotated[bool, Tag("all")] | Annotated[Flags, Tag("rows")] | Annotated[FlagsOfSteps, Tag("steps")],
    Discriminator(_kind_of_reset),
]
"""The rows that are reset: all, or a boolean for each, before the first step; or such booleans for each step."""

Counts = Annotated[
    list[Annotated[int, Field(ge=0)]],
    Field(min_length=1, max_length=MAX_ROWS, fail_fast=True),
    BeforeValidator(listed),
]
"""Numbers of rows, or of steps of rows."""

Indices = Annotated[list[int], Field(max_length=MAX_ROWS, fail_fast=True), BeforeValidator(listed)]
"""Numbers of rows."""
