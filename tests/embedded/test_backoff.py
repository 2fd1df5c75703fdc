"""Pauses double, end at the longest, and begin anew for what ran steadily."""

from cellar.embedded.backoff import RestartBackoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = RestartBackoff(0.5, 3, steady_s=10)
    pauses = []
    now_s = 0.0
    for _ in range(5):
        backoff.started(now_s)
        pauses.append(backoff.failed(now_s))
        now_s += pauses[-1]
    assert pauses == [0.5, 1, 2, 3, 3]


def test_nothing_is_due_before_its_pause_is_over() -> None:
    backoff = RestartBackoff(1, 4, steady_s=10)
    assert backoff.is_due(0)
    backoff.failed(100)
    assert not backoff.is_due(100.9)
    assert backoff.is_due(101)


def test_what_ran_steadily_begins_with_the_first_pause() -> None:
    backoff = RestartBackoff(1, 8, steady_s=10)
    for now_s in (0, 1, 3):
        backoff.started(now_s)
        backoff.failed(now_s)
    backoff.started(7)
    assert backoff.failed(7 + 10.5) == 1
