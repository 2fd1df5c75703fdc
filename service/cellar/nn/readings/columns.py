"""The specification of the columns of readings as JSON, with the numbers that were fitted to the training part."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cellar.nn.spec.base import Frozen

MAX_COLUMNS = 512
MAX_CATEGORIES = 1024
"""The most categories of a column."""
MAX_SERIES = 4096
"""The most series with numbers of their own. For more, `causal` scales each session by its own readings."""
MAX_LAG = 1024
"""The longest lag, in steps: each number of it is part of the state of a session."""

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
Role = Literal["input", "target", "static", "future"]
Finite = Annotated[float, Field(ge=-1e39, le=1e39)]
Scale = Annotated[float, Field(gt=0, le=1e39)]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each may be named once")
    return values


Lags = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_LAG)], ...], Field(strict=False, max_length=32), AfterValidator(_distinct)
]
Names = Annotated[
    tuple[Annotated[str, Field(max_length=256)], ...],
    Field(strict=False, max_length=MAX_CATEGORIES),
    AfterValidator(_distinct),
]
SeriesIds = Annotated[
    tuple[Annotated[str, Field(max_length=256)], ...],
    Field(strict=False, max_length=MAX_SERIES),
    AfterValidator(_distinct),
]


class NumberFit(Frozen):
    """Numbers fitted to a column: a reading x becomes (log(offset + x) or x, minus shift) / scale."""

    shift: Finite
    scale: Scale
    fill: Finite = Field(0.0, description="The scaled mean, which stands for readings before the first one.")
    lowest: float = Field(description="The smallest reading in training.")
    highest: float = Field(description="The largest reading in training.")
    readings: int = Field(ge=0, description="Readings in training.")
    missing: int = Field(ge=0, description="Missing readings in training.")
    series_shift: Annotated[tuple[Finite, ...], Field(strict=False, max_length=MAX_SERIES)] | None = Field(
        None, description="The shift of each series, in the order of its ids."
    )
    series_scale: Annotated[tuple[Scale, ...], Field(strict=False, max_length=MAX_SERIES)] | None = Field(
        None, description="The scale of each series."
    )
    relative: Annotated[float, Field(gt=0, le=100)] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With `session_scale`, the usual deviation of a series as a share of its mean absolute reading:"
        " what a session expects of its own before it has many readings.",
    )

    @property
    def unit(self) -> float:
        """The largest absolute reading, in units of which a session keeps its scale: no reading is squared to
        infinity, and none of training to 0."""
        return min(max(abs(self.lowest), abs(self.highest), 1e-30), 1e30)


class NumberColumn(Frozen):
    """A column of numbers."""

    kind: Literal["number"] = "number"
    name: ColumnName
    role: Role = Field("input", description="The role of the column in the data; `future` is known in advance.")
    scaling: Literal["standard", "min_max", "robust", "causal", "none"] = Field(
        "standard",
        description="standard: mean 0 and deviation 1 in training; min_max: 0 to 1; robust: median 0 and quartile"
        " range 1; causal: by the mean and deviation of the session's own readings so far; none.",
    )
    log: Annotated[float, Field(ge=0, le=1e30)] | None = Field(
        None, description="Before the scaling, log(log + reading): 1 for log1p, 0 for the plain logarithm."
    )
    per_series: bool = Field(False, description="Whether each series has a shift and a scale of its own.")
    missing: Literal["carry", "mean"] = Field(
        "carry", description="A missing reading counts as the last one of the session, or as the mean in training."
    )
    mask: bool | None = Field(
        None,
        description="Whether the network also reads 1 for a reading and 0 for a missing one. Default: if readings are"
        " missing in training.",
    )
    since: bool = Field(
        False,
        description="Whether the network also reads log(1 + time since the last reading of this column), in usual"
        " intervals; without a column of times in steps.",
    )
    lags: Lags = Field((), description="Steps back at which the network also reads the scaled column.")
    differences: Lags = Field((), description="Steps back from which the network reads the change of the column.")
    lead: int = Field(
        0,
        ge=0,
        le=MAX_LAG,
        exclude_if=lambda value: not value,
        description="How many steps ahead the column is known: a step has the value of this many steps later, as of a"
        " price or a holiday. Rows of a dataset have each value at its own time.",
    )
    session_scale: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="Whether each session keeps shift and scale of the column in its state, so that a forecast layer"
        " with `session_scale` inverts them: with `per_series` those of the last id that it was sent; without a"
        " known id, or with the scaling `causal`, mean and deviation of its own readings so far.",
    )
    fitted: NumberFit | None = Field(None, description="The numbers that were fitted in training.")

    @property
    def width(self) -> int:
        """The numbers of this column in a row."""
        return 1


class CategoryColumn(Frozen):
    """A column of names."""

    kind: Literal["category"] = "category"
    name: ColumnName
    role: Role = "input"
    encoding: Literal["one_hot", "ordinal"] = Field(
        "one_hot", description="A number for each category; or one number, (place + 1) / categories."
    )
    categories: Names | None = Field(None, description="The known categories. Default: those in training.")
    unknown: Literal["zeros", "refuse"] = Field(
        "zeros", description="An unknown category is encoded as zeros, or refused."
    )
    missing: Literal["zeros", "carry"] = Field(
        "zeros", description="A missing category is encoded as zeros, or counts as the last one of the session."
    )

    @property
    def width(self) -> int:
        """The numbers of this column in a row."""
        return 1

    @property
    def size(self) -> int:
        """The numbers that the network reads of it."""
        return len(self.categories or ()) if self.encoding == "one_hot" else 1


class TimeColumn(Frozen):
    """The column of the time of each row."""

    kind: Literal["time"] = "time"
    name: ColumnName
    zone: str = Field("UTC", max_length=64, description="The time zone of the calendar, and of times without one.")
    calendar: Annotated[
        tuple[Literal["hour", "weekday", "month", "day_of_year"], ...],
        Field(strict=False, max_length=4),
        AfterValidator(_distinct),
    ] = Field((), description="The parts of the calendar that the network reads, as sine and cosine.")
    elapsed: bool = Field(
        False, description="Whether the network reads log(1 + time since the last step), in usual intervals."
    )
    interval_s: Annotated[float, Field(gt=0, le=1e10)] | None = Field(
        None, description="The usual interval, seconds. Default: the median in training."
    )

    @property
    def width(self) -> int:
        """The numbers of this column in a row: day since 1970-01-01 in UTC, and second of the day."""
        return 2


class SeriesColumn(Frozen):
    """The column of the id of the series, which chooses among numbers `per_series`. The network does not read it."""

    kind: Literal["series"] = "series"
    name: ColumnName
    ids: SeriesIds | None = Field(
        None,
        description="The series with numbers of their own. Others, and a row without an id, have those of all series.",
    )

    @property
    def width(self) -> int:
        """The numbers of this column in a row."""
        return 1


Column = NumberColumn | CategoryColumn | TimeColumn | SeriesColumn

MOST_SCALED = 1e6
"""The limit of scaled readings: a reading of 1e38 in a column of small numbers becomes no infinite one."""
