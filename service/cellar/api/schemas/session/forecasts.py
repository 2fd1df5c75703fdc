"""The request and the answer of a forecast."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from cellar.api.schemas.names import Answer
from cellar.api.schemas.numbers import listed, nested
from cellar.nn.spec.base import Frozen
from cellar.nn.spec.levels import Levels

MOST_STEPS = 65_536

Values = Annotated[list[Any], WithJsonSchema(nested(1, 2))]
"""A number for each step ahead; with several rows, such an array for each row."""

Paths = Annotated[list[Any], WithJsonSchema(nested(2, 3))]
"""The values of each path; with several rows, such an array for each row."""

Times = Annotated[
    list[Any],
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "array", "items": {"type": "string", "format": "date-time"}},
                ]
            },
        }
    ),
]
"""A time for each step ahead; with several rows, such an array for each row."""

Number = Annotated[float, Field(ge=-3e38, le=3e38)]
Known = Annotated[float, Field(ge=-3e38, le=3e38)] | Annotated[str, Field(max_length=256)] | None
"""A number, the text of a category or a time, or null."""


def _row_kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "array"


Row = Annotated[
    Annotated[Annotated[list[Known], Field(min_length=1)], Tag("array")] | Annotated[dict[str, Known], Tag("object")],
    Discriminator(_row_kind),
]
Future = Annotated[
    list[Row],
    Field(min_length=1, max_length=MOST_STEPS, fail_fast=True),
    BeforeValidator(listed),
]
Last = Annotated[
    list[Annotated[list[Number], Field(min_length=1)]],
    Field(min_length=1, max_length=MOST_STEPS, fail_fast=True),
    BeforeValidator(listed),
]


class ForecastRequest(Frozen):
    """The options of a forecast. All have defaults if the model ends with a forecast layer."""

    horizon: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="Steps ahead. Default: those of the model's forecast layer, or one."
    )
    quantiles: Levels | None = Field(None, description="Quantiles of each value. Default: 0.1, 0.5 and 0.9.")
    paths: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Paths that are drawn step by step, each value being the input of the next step. Default: 200, of a"
        " model that forecasts the next step only; others draw none.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the paths: the same request has the same answer.")
    future: Future | None = Field(
        None,
        description="Inputs of the steps ahead that are known: an array for each step, null where an output becomes the"
        " input; of a model with readings also an object with columns by name. That of the last step is not needed.",
    )
    feedback: dict[str, Annotated[int, Field(ge=0)]] | None = Field(
        None,
        max_length=1024,
        description="For targets, by name or number, the number of the input that they become. Default: the same"
        " numbers if there are as many inputs as targets.",
    )
    last: Last | None = Field(
        None,
        description="The outputs of the last step, for each row, if the model has no forecast layer that keeps them.",
    )
    include_paths: bool = Field(False, description="Whether the paths are answered too.")


class TargetForecast(Answer):
    """The forecast of a target, in its units: a number for each step ahead; with several rows, an array for each."""

    point: Values = Field(description="The value, the mean or centre of its distribution, or the median.")
    quantiles: dict[str, Values] | None = Field(
        description="By quantile; null if the model answers one number and no residuals were measured."
    )
    paths: Paths | None = Field(None, description="The paths, if they were wanted.")


class ForecastAnswer(Answer):
    """A forecast from the newest committed state of a session, which it does not change."""

    session: str
    model: str = Field(description="The version that forecasts, `co2@3`.")
    position: str = Field(description="The position of the session from which it was made.")
    horizon: int
    times: Times | None = Field(
        description="The times of the values at the usual interval of the data; null if the model has no time column."
    )
    targets: dict[str, TargetForecast] = Field(
        description="By name; without a forecast layer by number of the output, from 0."
    )
