"""The base class of specifications, and the types of their numbers."""

import re
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import core_schema

MAX_SIZE = 16_384
"""The largest input, hidden or output size. The number of parameters limits a network as a whole."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0, le=1e6)]
Epsilon = Annotated[float, Field(ge=1e-12, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]
PARAMETER_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
ParameterName = Annotated[str, Field(pattern=PARAMETER_PATTERN)]


def is_unused(value: Any) -> bool:
    """Return whether a field is left out of documents (`exclude_if`), because it is not set.

    Fields that were added later are left out, so that earlier documents and their digests stay the same.
    """
    return value is None or value == ()


_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
"""An integer in a query."""

MOST_EXACT = 2**53
"""The limit up to which each integer is a distinct float64."""


def whole(value: Any) -> Any:
    """Return a number without a fraction as an integer, because 7.0 is an integer in JSON.

    >>> whole(7.0), whole(7.5), whole("7")
    (7, 7.5, '7')
    """
    return int(value) if type(value) is float and value.is_integer() and abs(value) <= MOST_EXACT else value


def _read_whole(value: Any, info: ValidationInfo) -> Any:
    """Return the integer of a document or a query; a float without a fraction becomes an integer."""
    if str(info.mode) == "string" and isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else value
    return whole(value)


def _taking_whole_numbers(schema: Any, model: type[BaseModel]) -> Any:
    """Return the pydantic schema of a model in which all integers may be written with a fraction of 0."""
    if isinstance(schema, list):
        return [_taking_whole_numbers(part, model) for part in schema]
    if not isinstance(schema, dict) or _takes_whole_numbers(schema, model):
        return schema
    if schema.get("type") == "int":
        return core_schema.with_info_before_validator_function(_read_whole, cast(core_schema.IntSchema, schema))
    return {name: _taking_whole_numbers(part, model) for name, part in schema.items()}


def _takes_whole_numbers(schema: dict[str, Any], model: type[BaseModel]) -> bool:
    """Return whether this is another model that has been converted already, or an integer of one."""
    if schema.get("type") == "model":
        return schema["cls"] is not model and issubclass(schema["cls"], Frozen)
    return schema.get("type") == "function-before" and schema["function"].get("function") is _read_whole


class Frozen(BaseModel):
    """A frozen value of a request. Unknown fields, strings or booleans for numbers, and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return the schema of the fields, in which 7.0 is an integer."""
        return cast(core_schema.CoreSchema, _taking_whole_numbers(handler(source), cls))
