"""Loops that are long enough, rounds in alternating order, and what the intervals of ratios are: on a fake clock."""

from dataclasses import dataclass

import pytest

from benchmarks import timing
from benchmarks.timing import Pace, Repeat, interleave, pace, paired_ratio, percentile, undisturbed


@dataclass
class Clock:
    """In the place of the module `time`: what the wall shows, and what the process spent."""

    wall: float = 0.0
    spent: float = 0.0

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.spent

    def work(self, seconds: float, waited: float = 0.0) -> None:
        self.wall += seconds + waited
        self.spent += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the benchmarks read."""
    fake = Clock()
    monkeypatch.setattr(timing, "time", fake)
    return fake


def test_a_sample_lasts_as_long_as_it_should(clock: Clock) -> None:
    found = pace(lambda loops: clock.work(1e-5 * loops), 0.002)
    assert found.loops == 200
    assert found.seconds == pytest.approx(1e-5)


def test_what_takes_long_is_done_once_after_the_first_time(clock: Clock) -> None:
    done: list[int] = []

    def repeat(loops: int) -> None:
        done.append(loops)
        clock.work(0.04)

    assert pace(repeat, 0.002) == Pace(1, 0.04)
    assert done == [1, 1]


def test_a_first_time_that_takes_long_is_not_the_pace(clock: Clock) -> None:
    made: list[str] = []

    def repeat(loops: int) -> None:
        if not made:
            clock.work(0.5)
            made.append("what later ones use")
        clock.work(1e-5 * loops)

    found = pace(repeat, 0.002)
    assert found.loops >= 200
    assert found.seconds == pytest.approx(1e-5)


def test_every_other_round_goes_backwards(clock: Clock) -> None:
    order: list[str] = []

    def named(name: str) -> Repeat:
        def repeat(loops: int) -> None:
            order.extend([name] * loops)
            clock.work(0.01 * loops)

        return repeat

    samples = interleave([named("a"), named("b")], [Pace(1, 0.01), Pace(2, 0.01)], 3)
    assert "".join(order) == "abb" + "bba" + "abb"
    assert samples == [pytest.approx([0.01] * 3), pytest.approx([0.01] * 3)]


def test_a_sample_that_waited_for_a_core_is_taken_again(clock: Clock) -> None:
    waits = [0.004, 0.004, 0.0, 0.004]
    assert undisturbed(lambda _: clock.work(0.002, waits.pop(0)), 1) == pytest.approx(0.002)
    assert waits == [0.004]


def test_a_long_sample_that_waited_is_taken_again_once(clock: Clock) -> None:
    waits = [0.05, 0.02, 0.0]
    assert undisturbed(lambda _: clock.work(0.1, waits.pop(0)), 1) == pytest.approx(0.12)
    assert waits == [0.0]


def test_a_machine_that_is_never_free_is_measured_all_the_same(clock: Clock) -> None:
    assert undisturbed(lambda _: clock.work(0.002, 0.001), 1) == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Ratios 1, 2, ..., n: the order statistics of the sign test at 95%.
    [(5, 1, 5), (7, 1, 7), (9, 2, 8), (11, 2, 10), (25, 8, 18)],
)
def test_the_interval_is_that_of_the_sign_test(count: int, low: int, high: int) -> None:
    ratio = paired_ratio([float(2 * n) for n in range(count, 0, -1)], [2.0] * count)
    assert (ratio.median, ratio.low, ratio.high) == ((count + 1) / 2, low, high)


def test_pairs_are_not_parted() -> None:
    assert paired_ratio([1.0, 20.0, 3.0], [1.0, 10.0, 1.0]).median == 2.0


def test_a_percentile_is_a_time_that_was_measured(clock: Clock) -> None:
    times = [n / 1000 for n in range(200, 0, -1)]
    assert percentile(lambda _: clock.work(times.pop()), 200, 99) == pytest.approx(0.198)
