"""How much of a case is measured."""

from benchmarks.race import Effort


def test_a_long_case_has_fewer_rounds_and_none_has_less_than_five() -> None:
    effort = Effort(rounds=9, calls=1, case_s=1.0)
    assert [effort.rounds_of(seconds) for seconds in (0.01, 0.15, 0.3, 10.0)] == [9, 6, 5, 5]
