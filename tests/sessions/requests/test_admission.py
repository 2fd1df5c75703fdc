"""Who may wait: the clock is the test's own."""

import pytest

from cellar.errors import Overloaded
from cellar.sessions.requests.admission import FEW, FEW_OF_A_MODEL, Admission, ModelQueue
from cellar.sessions.requests.call_cost import CallCost


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


def test_a_queue_that_would_take_too_long_takes_no_request() -> None:
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


def test_time_without_waiting_requests_makes_it_no_slower() -> None:
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


def test_a_queue_that_is_not_worked_off_takes_no_request() -> None:
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


STEP = (1, 1)


def a_model(admission: Admission, step_s: float, row_s: float = 0.0) -> ModelQueue:
    """Return the queue of a model whose calls took so long: `step_s`, and `row_s` for each row but the first."""
    cost = CallCost(10**7)
    for rows in (1, 30, 1, 60, 20, 1, 50):
        cost.learn(rows, 1, step_s + row_s * (rows - 1))
    return admission.model_queue(cost)


def let_in(admission: Admission, model: ModelQueue, left_s: float | None, now_s: float = 0.0) -> int:
    """Return how many steps of a model may wait."""
    for count in range(10_000):
        try:
            admission.enter(now_s, 1, model, STEP, left_s)
        except Overloaded:
            return count
    return 10_000


def test_a_slow_model_takes_no_more_than_it_can_answer_in_time() -> None:
    """The first of them are refused before any answer has shown how slow it is."""
    admission = Admission(10_000, 2.0)
    slow = a_model(admission, 0.010, 0.002)
    count = let_in(admission, slow, 1.0)
    assert 0.4 < slow.calls_s() <= 0.55
    assert 100 < count < 260
    with pytest.raises(Overloaded) as caught:
        admission.enter(0.0, 1, slow, STEP, 1.0)
    assert caught.value.detail == "the requests that wait for this model would take longer than 0.5 s"
    for _ in range(10):
        admission.leave(1, slow, STEP)
    admission.enter(0.0, 1, slow, STEP, 1.0)


def test_whoever_has_more_time_may_wait_longer_but_no_longer_than_the_setting() -> None:
    admission = Admission(10_000, 2.0)
    slow = a_model(admission, 0.010, 0.002)
    let_in(admission, slow, 1.0)
    few = let_in(admission, slow, 2.0)
    assert few > 50
    let_in(admission, slow, None)
    assert slow.calls_s() > 1.9
    assert slow.calls_s() <= 2.1
    assert let_in(admission, slow, 3600.0) == 0


def test_a_step_that_nothing_stands_before_is_let_in_whatever_its_time() -> None:
    """Else one wrong estimate would keep all away, and never be found out."""
    admission = Admission(10_000, 2.0)
    slow = a_model(admission, 5.0)
    assert admission.enter(0.0, 1, slow, STEP, 0.001) is slow
    assert let_in(admission, slow, 0.001) == 0


def test_some_may_wait_for_the_slowest_model_if_they_have_no_deadline() -> None:
    admission = Admission(10_000, 2.0)
    assert let_in(admission, a_model(admission, 60.0), None) == FEW_OF_A_MODEL


def test_a_slow_model_keeps_no_light_one_out() -> None:
    admission = Admission(10_000, 2.0, threads=2)
    slow, light = a_model(admission, 0.010, 0.002), a_model(admission, 0.0005, 0.0002)
    let_in(admission, slow, 1.0)
    assert let_in(admission, light, 1.0) > 500
    admission.enter(0.0, 500)  # and what takes no time of the threads is not held up by either
    admission.enter(0.0, 1, None, STEP, 0.1)


def test_models_share_the_threads() -> None:
    alone = Admission(10_000, 2.0)
    count = let_in(alone, a_model(alone, 0.010, 0.002), 1.0)
    shared = Admission(10_000, 2.0)
    models = [a_model(shared, 0.010, 0.002) for _ in range(4)]
    for _ in range(count // 4):
        for model in models:
            shared.enter(0.0, 1, model, STEP, 4.0)
    refused = [let_in(shared, model, 1.0) for model in models]
    assert sum(refused) <= 4 * 5  # all together have as much as one alone may have
    for model in models:
        while model.waiting:
            shared.leave(1, model, STEP)
    assert shared.waiting == 0
    assert shared._calls_s == pytest.approx(0.0)
    assert shared._busy == 0
    assert let_in(shared, models[0], 1.0) == count


def test_a_slow_models_own_rate_counts_as_well() -> None:
    """Each step takes a commit of its own, say: the calls are quick, the answers are not."""
    admission = Admission(10_000, 2.0)
    model = a_model(admission, 0.001, 0.0002)
    now_s = 0.0
    for _ in range(FEW + 1):
        admission.enter(now_s, 1, model, STEP, 10.0)
    for _ in range(40):  # a hundred a second
        now_s += 0.01
        admission.leave(1, model, STEP)
        admission.enter(now_s, 1, model, STEP, 10.0)
    assert let_in(admission, model, 1.0, now_s) == 0
    admission.enter(now_s, 1, model, STEP, 10.0)


def test_light_steps_hold_their_own_deadline() -> None:
    admission = Admission(10_000, 2.0)
    full(admission, FEW + 1, 0.0)
    now_s = answer_slowly(admission, 40, 0.01, 0.0)  # a hundred a second
    with pytest.raises(Overloaded):
        admission.enter(now_s, 1, None, STEP, 1.0)
    admission.enter(now_s, 1, None, STEP, 2.0)


def test_the_model_of_a_request_may_be_found_later() -> None:
    admission = Admission(10_000, 2.0)
    slow, quick = a_model(admission, 0.010, 0.002), a_model(admission, 0.00001)
    for _ in range(3):
        assert admission.enter(0.0, 1, None, STEP, 1.0) is None
    assert admission.move(0.0, 1, slow, STEP, 1.0) is slow
    assert admission.move(0.0, 1, quick, STEP, 1.0) is None
    let_in(admission, slow, 1.0)
    waiting = admission.waiting
    with pytest.raises(Overloaded):
        admission.move(0.0, 1, slow, STEP, 1.0)
    assert admission.waiting == waiting  # it waits on, until it is told


def test_long_sequences_count_with_their_steps() -> None:
    admission = Admission(10_000, 2.0)
    model = a_model(admission, 0.010, 0.002)
    admission.enter(0.0, 1, model, (1, 200), 10.0)
    assert model.calls_s() > 1.0
    with pytest.raises(Overloaded):
        admission.enter(0.0, 1, model, STEP, 1.0)
    admission.leave(1, model, (1, 200))
    assert model.calls_s() == 0.0
