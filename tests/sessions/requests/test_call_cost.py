"""What kernel calls are believed to take, from calls whose times are made up."""

import random

import pytest

from cellar.sessions.requests import call_cost
from cellar.sessions.requests.call_cost import MANY_STEPS, CallCost

FLOPS = 50_000_000


@pytest.fixture(autouse=True)
def calls_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the bound of a call that the service has."""
    monkeypatch.setattr(call_cost, "CALL_S", 0.1)


def learnt(*calls: tuple[int, int, float]) -> CallCost:
    cost = CallCost(FLOPS)
    for rows, steps, took_s in calls:
        cost.learn(rows, steps, took_s)
    return cost


def test_before_any_call_it_is_guessed_from_the_operations() -> None:
    cost = CallCost(FLOPS)
    assert 0.001 < cost.step_s(1) < 0.1
    assert cost.step_s(1) < cost.step_s(64) < 20 * cost.step_s(1)  # rows share the weights
    assert cost.steps_a_call(1) == MANY_STEPS


def test_both_parts_are_found_where_rows_vary() -> None:
    draw = random.Random(1)
    calls = [(rows, 1, (0.010 + 0.001 * rows) * draw.uniform(0.9, 1.1)) for rows in (1, 40, 8, 64, 16, 2, 50, 30) * 3]
    cost = learnt(*calls)
    assert cost.fixed_s == pytest.approx(0.010, rel=0.3)
    assert cost.row_s == pytest.approx(0.001, rel=0.3)
    assert cost.step_s(90) == pytest.approx(0.100, rel=0.2)


def test_calls_of_like_rows_give_their_sum_and_no_nonsense() -> None:
    cost = learnt(*[(64, 1, 0.08)] * 20)
    assert cost.step_s(64) == pytest.approx(0.08)
    assert cost.fixed_s > 0 < cost.row_s


def test_more_rows_in_less_time_are_no_negative_cost() -> None:
    cost = learnt(*[(1, 1, 0.05), (100, 1, 0.01)] * 10)
    assert cost.row_s >= 0 <= cost.fixed_s
    assert 0.01 <= cost.step_s(50) <= 0.05


def test_it_follows_a_machine_that_becomes_slower() -> None:
    cost = learnt(*[(10, 1, 0.01)] * 50, *[(10, 1, 0.05)] * 20)
    assert cost.step_s(10) == pytest.approx(0.05, rel=0.2)


def test_one_call_during_which_the_machine_stood_still_is_forgotten() -> None:
    cost = learnt(*[(10, 1, 0.01)] * 50, (10, 1, 30.0))
    assert cost.step_s(10) < 0.03
    for _ in range(20):
        cost.learn(10, 1, 0.01)
    assert cost.step_s(10) == pytest.approx(0.01, rel=0.2)


def test_steps_of_sequences_are_calls_one_after_the_other() -> None:
    cost = learnt(*[(1, 50, 50 * 0.002)] * 10)
    assert cost.step_s(1) == pytest.approx(0.002)
    assert cost.request_s(1, 100) == pytest.approx(0.2, rel=0.01)
    assert cost.steps_a_call(1) == pytest.approx(50, abs=1)


def test_calls_are_cut_by_their_time() -> None:
    cost = learnt(*[(1, 1, 0.011), (91, 1, 0.101)] * 10)  # 10 ms, and 1 ms a row
    assert cost.rows_a_call(1024) == pytest.approx(90, abs=1)
    assert cost.rows_a_call(20) == 20
    assert cost.steps_a_call(10) == pytest.approx(5, abs=1)
    slow = learnt(*[(1, 1, 7.1), (11, 1, 8.1)] * 10)  # 7 s, whatever the rows
    assert slow.steps_a_call(1) == 1
    assert slow.rows_a_call(1024) == pytest.approx(210, abs=2)
    assert slow.request_s(1, 1) == pytest.approx(0.1 + 7 / 210, rel=0.02)
