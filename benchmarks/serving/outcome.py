"""The result of a case: series for the table, bars, and remarks that are printed below its lines."""

from dataclasses import dataclass, field

from benchmarks.serving.bars import Bar
from benchmarks.serving.rounds import Series


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a case."""

    series: list[Series] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
