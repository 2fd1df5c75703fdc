"""What a sweep does next follows from its trials alone."""

from dataclasses import replace
from typing import Any

import pytest

from cellar.errors import InvalidInput
from cellar.jobs.sweeps.plan import best, changed, first_trials, next_rung
from cellar.jobs.sweeps.space import MOST_TRIALS, applied, grid, sample
from cellar.ports import Trial

HALVING: dict[str, Any] = {"type": "halving", "trials": 9, "factor": 3, "seed": 1, "min_epochs": None}
RANGE = {"a": {"min": 1e-4, "max": 0.1, "scale": "log"}, "b": {"min": 2, "max": 5, "integer": True}, "c": ["x", "y"]}


def ended(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """Return the trials with losses that rise with their numbers; the first one has failed."""
    return tuple(
        replace(trial, state="failed")
        if trial.number == 1
        else replace(trial, state="succeeded", value=float(trial.number))
        for trial in trials
    )


def test_a_halving_keeps_the_best_third() -> None:
    first = ended(first_trials(HALVING, RANGE, 90))
    assert [(trial.number, trial.epochs) for trial in first] == [(number, 10) for number in range(1, 10)]
    second = ended(next_rung(HALVING, first, 90))
    assert [(trial.number, trial.epochs, trial.rung) for trial in second] == [(2, 30, 1), (3, 30, 1), (4, 30, 1)]
    third = ended(next_rung(HALVING, (*first, *second), 90))
    assert [(trial.number, trial.epochs) for trial in third] == [(2, 90)]
    assert next_rung(HALVING, (*first, *second, *third), 90) == ()
    assert best((*first, *second, *third)) == third[0]


def test_without_a_survivor_there_is_no_next_rung() -> None:
    failed = tuple(replace(trial, state="failed") for trial in first_trials(HALVING, RANGE, 90))
    assert next_rung(HALVING, failed, 90) == ()
    assert best(failed) is None
    again = changed(failed, failed[3], state="succeeded", value=1.0)
    assert best(again) == again[3]


def test_samples_are_within_their_ranges_and_those_of_the_seed() -> None:
    drawn = [sample(RANGE, 5, number) for number in range(200)]
    assert drawn == [sample(RANGE, 5, number) for number in range(200)]
    assert drawn != [sample(RANGE, 6, number) for number in range(200)]
    assert {each["b"] for each in drawn} == {2, 3, 4, 5}
    assert {each["c"] for each in drawn} == {"x", "y"}
    assert all(1e-4 <= each["a"] <= 0.1 for each in drawn)
    assert sum(each["a"] < 1e-3 for each in drawn) > 40, "a third of the decades"


def test_a_grid_has_every_combination_and_a_limit() -> None:
    assert grid({"a": [1, 2], "b": [3]}) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    assert [each["n"] for each in grid({"n": {"min": 0, "max": 4, "integer": True, "count": 3}})] == [0, 2, 4]
    with pytest.raises(InvalidInput):
        grid({"a": list(range(MOST_TRIALS)), "b": [1, 2]})
    with pytest.raises(InvalidInput, match="without their number"):
        grid({"n": {"min": 0, "max": 4}})


def test_values_are_set_at_their_places() -> None:
    template = {"layers": [{"size": 1}], "loss": "mse"}
    assert applied(template, {"/layers/0/size": 8, "optimiser.type": "sgd"}) == {
        "layers": [{"size": 8}],
        "loss": "mse",
        "optimiser": {"type": "sgd"},
    }
    assert template == {"layers": [{"size": 1}], "loss": "mse"}
    for name in ("/layers/7/size", "loss.delta", "layers.x"):
        with pytest.raises(InvalidInput, match="no such place"):
            applied(template, {name: 1})
