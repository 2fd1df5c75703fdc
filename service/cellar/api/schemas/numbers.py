"""Arrays in bodies: numbers, which `cellar.wire.numbers` reads, and rows, of which there may be so many."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from cellar.wire.number_text import NumberText

MAX_ROWS = 2**16
"""Most rows that a request names."""


def _leave_text(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, NumberText) else check(value)


def _listed(value: Any) -> Any:
    """Decode a long array of row numbers, which is no array of numbers of the model."""
    if isinstance(value, NumberText) and value.stop - value.start <= 16 * MAX_ROWS:
        return value.as_list()
    return value


Numbers = Annotated[list[Any], WrapValidator(_leave_text)]
"""Nested arrays of numbers: lists, or the text of a long one."""

Flags = Annotated[list[bool], Field(max_length=MAX_ROWS, fail_fast=True)]
"""A boolean for each row."""

Indices = Annotated[list[int], Field(max_length=MAX_ROWS, fail_fast=True), BeforeValidator(_listed)]
"""Numbers of rows."""
