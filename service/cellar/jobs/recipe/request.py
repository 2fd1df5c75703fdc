"""Data of a job by reference: a dataset, its columns and how far ahead is forecast."""

from typing import Annotated

from pydantic import AfterValidator, Field

from cellar.nn.readings.columns import Lags
from cellar.nn.spec.base import MAX_SIZE, Frozen, is_unused

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]

MOST_TARGETS = 64
MOST_INPUTS = 256
LONGEST_HORIZON = 1024


def _distinct(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if names is not None and len(set(names)) < len(names):
        raise ValueError("each column may be named once")
    return names


class ForecastData(Frozen):
    """The readings of a dataset, of which columns are forecast."""

    dataset: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="The name of a dataset.")
    targets: Annotated[
        tuple[ColumnName, ...],
        Field(strict=False, max_length=MOST_TARGETS, json_schema_extra={"minItems": 1}),
        AfterValidator(_distinct),
    ] = Field((), description="Columns of numbers to forecast. Default: those with the role `target`.")
    inputs: Annotated[
        tuple[ColumnName, ...] | None, Field(strict=False, max_length=MOST_INPUTS), AfterValidator(_distinct)
    ] = Field(None, description="Columns that the network reads besides the targets. Default: all others.")
    horizon: Annotated[int, Field(ge=1, le=LONGEST_HORIZON)] = Field(
        1, description="Steps ahead: an answer has a forecast for each of the next `horizon` steps."
    )
    hidden_size: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = Field(
        None, exclude_if=is_unused, description="The size of the recipe's recurrent layer. Default: 32."
    )
    cell: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, exclude_if=is_unused, description="The built-in cell of that layer. Default: lstm."
    )
    lags: Lags = Field(
        (), exclude_if=is_unused, description="Steps back at which the network also reads the targets. Default: none."
    )
    times: bool | None = Field(
        None,
        exclude_if=is_unused,
        description="Whether the network reads the time of each step: the calendar, and the time since the last step."
        " Its sessions then take a time with each step, and forecasts have times.",
    )
