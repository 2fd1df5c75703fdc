"""A study of Optuna whose trials the service runs."""

import math
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from cellar_client import Client
from cellar_client.errors import Refused
from cellar_client.optuna import TRIAL, Objective
from tests.clients.python.catalogue.test_sweeps import NETWORK, WAVE

RATE = "optimiser.learning_rate"


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Return the values of a trial."""
    return {RATE: trial.suggest_float(RATE, 1e-7, 0.1, log=True), "batch_size": trial.suggest_int("batch_size", 0, 1)}


@pytest.fixture(scope="module")
def training(service_url: str) -> Iterator[Client]:
    """Yield a client of a service that has the model `studied`."""
    with Client(service_url, give_up_s=20) as client:
        client.models.create("studied", NETWORK)
        yield client


def test_a_study_prunes_fails_and_finds_the_best(training: Client) -> None:
    sweep = training.sweep("studied", WAVE[:-1], WAVE[1:], alias="best", epochs=4, publish="always")
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1))
    for rate, batch in ((0.05, 1), (1e-6, 1), (0.01, 0)):
        study.enqueue_trial({RATE: rate, "batch_size": batch})
    objective = Objective(sweep, suggest)
    study.optimize(objective, n_trials=3, catch=Refused)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert list(study.trials[1].intermediate_values) == [0, 1], "pruned by the loss of the second epoch"

    asked = study.ask()  # a process that was killed behind `add_trial`
    values = {RATE: 0.002, "batch_size": 1}
    asked.set_user_attr(TRIAL, {"sweep": sweep.id, "parameters": values})
    assert objective.tell_running(study) == 1
    assert study.trials[3].value == sweep.trial(3).wait()
    assert objective.tell_running(study) == 0

    sweep.finish()
    assert sweep.wait() == training.models.get("studied@best")["model"] != "studied@1"
    assert sweep.best
    assert sweep.best["parameters"] == study.best_params
    assert sweep.best["value"] == study.best_value

    late = study.ask()  # a process that was killed before `add_trial`
    late.set_user_attr(TRIAL, {"sweep": sweep.id, "parameters": values})
    assert objective.tell_running(study) == 1
    assert study.trials[4].state == TrialState.FAIL


def test_a_study_in_the_wrong_direction_is_refused(training: Client) -> None:
    sweep = training.sweep("studied", WAVE[:-1], WAVE[1:], epochs=1)
    study = optuna.create_study(direction="maximize")
    with pytest.raises(ValueError, match="direction='minimize'"):
        study.optimize(Objective(sweep, suggest), n_trials=1)
    assert not sweep.refresh()["trials"]
    assert sweep.cancel()["state"] == "cancelled"
    assert math.isclose(study.trials[0].number, 0)
