"""The lines that others read."""

from array import array

from benchmarks.serving import table
from benchmarks.serving.bars import Bar
from benchmarks.serving.load import Found
from benchmarks.serving.rounds import Sample, Series


def test_a_line_says_whether_the_bar_is_met() -> None:
    assert Bar("rate", 2.004, 2.0).line() == "rate 2 2 ok"
    assert Bar("rate", 1.99, 2.0).line() == "rate 1.99 2 short"
    assert Bar("added_ms", 0.4, 0.4, at_most=True).line() == "added_ms 0.4 0.4 ok"
    assert Bar("added_ms", 0.41, 0.4, at_most=True).line() == "added_ms 0.41 0.4 short"
    assert Bar("steps", 512_345.6, 500_000).line() == "steps 512346 500000 ok"


def test_a_figure_that_is_no_number_is_short() -> None:
    assert not Bar("rate", float("nan"), 2.0).met
    assert not Bar("rate", float("nan"), 2.0, at_most=True).met


def series(name: str, rates: list[int]) -> Series:
    return Series(
        "a case",
        name,
        tuple(Sample(Found(rate, 1.0, array("d", [0.001, 0.002]), 0.0), 0.5, 0.1, 0.2, 0.0, 0.02) for rate in rates),
    )


def test_the_table_compares_with_the_first_round_by_round() -> None:
    ours, other = table.lines([series("cellar", [200, 100, 400]), series("peer", [100, 50, 100])])
    assert ours.split() == ["a", "case", "cellar", "200", "2.000", "2.000", "50%", "30%", "2.0%"]
    assert other.split() == [
        "a",
        "case",
        "peer",
        "100",
        "2.000",
        "2.000",
        "2.00",
        "[2.00",
        "4.00]",
        "50%",
        "30%",
        "2.0%",
    ]
    columns = table.header()
    assert columns.index("rate/s") + len("rate/s") == other.index(" 100 ") + len(" 100")
    assert len(columns) == len(other)
