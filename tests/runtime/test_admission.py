"""Who may wait: the clock is the test's own."""

import pytest

from cellar.errors import Overloaded
from cellar.runtime.admission import FEW, Admission


def full(admission: Admission, count: int, now_s: float) -> None:
    for _ in range(count):
        admission.enter(now_s)


def test_so_many_may_wait_and_no_more() -> None:
    admission = Admission(3, 1.0)
    full(admission, 3, 0.0)
    with pytest.raises(Overloaded) as caught:
        admission.enter(0.0)
    assert (caught.value.outcome, caught.value.retry_after_s) == ("not_applied", 1)
    admission.leave()
    admission.enter(0.01)


def answer_slowly(admission: Admission, count: int, every_s: float, begin_s: float) -> float:
    """Answer a request every so often and let another one in; return when it is."""
    now_s = begin_s
    for _ in range(count):
        now_s += every_s
        admission.leave()
        admission.enter(now_s)
    return now_s


def test_a_queue_that_would_take_too_long_takes_nobody() -> None:
    admission = Admission(10_000, 1.0)
    full(admission, FEW + 1, 0.0)
    now_s = answer_slowly(admission, 40, 0.01, 0.0)  # a hundred a second
    full(admission, 90 - FEW - 1, now_s)
    with pytest.raises(Overloaded) as caught:
        full(admission, 20, now_s)
    assert admission.waiting == pytest.approx(100, abs=2)
    assert caught.value.retry_after_s <= 2
    for _ in range(10):
        admission.leave()
    admission.enter(now_s)


def test_a_few_may_wait_however_slow_it_is() -> None:
    admission = Admission(10_000, 0.001)
    full(admission, FEW, 0.0)
    answer_slowly(admission, 10, 1.0, 0.0)
    assert admission.waiting == FEW
    admission.leave()
    admission.enter(20.0)


def test_one_slow_request_says_nothing_of_many() -> None:
    admission = Admission(10_000, 1.0)
    admission.enter(0.0)
    admission.leave()
    admission.enter(5.0)
    admission.leave()
    full(admission, 500, 600.0)


def test_time_in_which_nobody_waited_makes_it_no_slower() -> None:
    admission = Admission(10_000, 1.0)
    now_s = 0.0
    for _ in range(50):  # one request in every ten seconds, answered in a millisecond
        admission.enter(now_s)
        admission.leave()
        now_s += 10.0
    full(admission, 5000, now_s)


def test_answers_that_come_all_at_once_are_counted_as_one_lot() -> None:
    admission = Admission(10_000, 1.0)
    now_s = 0.0
    for _ in range(5):  # a thousand requests run together for half a second, and come again
        full(admission, 1000, now_s)
        now_s += 0.5
        for _ in range(1000):
            admission.leave()
    full(admission, 1900, now_s)


def test_a_burst_whose_first_answers_are_late_is_not_refused() -> None:
    admission = Admission(10_000, 2.0)
    full(admission, 512, 0.0)
    for _ in range(16):  # one client after the other has its 32 answers, and sends again
        admission.leave(32)
        full(admission, 32, 0.2)


def test_a_queue_that_nobody_works_off_takes_nobody() -> None:
    admission = Admission(10_000, 1.0)
    full(admission, FEW, 0.0)
    full(admission, 10, 0.9)
    with pytest.raises(Overloaded):
        admission.enter(1.1)


def test_it_recovers_when_answers_come_faster_again() -> None:
    admission = Admission(10_000, 1.0)
    full(admission, 300, 0.0)
    for _ in range(20):
        admission.leave()
    with pytest.raises(Overloaded) as caught:
        admission.enter(2.0)  # ten a second
    assert caught.value.retry_after_s <= 30
    for _ in range(200):
        admission.leave()
    full(admission, 200, 2.2)


def test_a_burst_is_counted_before_it_is_let_in() -> None:
    admission = Admission(100, 1.0)
    admission.enter(0.0, 60)
    with pytest.raises(Overloaded):
        admission.enter(0.0, 41)
    assert admission.waiting == 60
    admission.enter(0.0, 40)
    with pytest.raises(Overloaded):
        admission.enter(0.0)
    admission.leave(60)
    admission.enter(0.01, 60)
    assert admission.waiting == 100
