"""Studies of Optuna whose trials are jobs of the service, with every sampler, pruner and storage that Optuna has.

Source: optuna.readthedocs.io, "Ask-and-Tell Interface" and "Efficient Optimization Algorithms" (pruning).
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from cellar_client.documents import Document
from cellar_client.errors import InvalidInput, SweepNotOpen, TrialFailed
from cellar_client.sync.training import Sweep

MAXIMISED = ("skill",)
"""Objectives of which the highest value is the best."""

TRIAL = "cellar_trial"
"""The attribute of a trial of Optuna with its sweep and its values, which is written before it is sent."""

Suggest = Callable[[optuna.Trial], Mapping[str, Any]]
"""Returns the values of fields of the job, which it has asked of the trial."""


class Objective:
    """An objective for `study.optimize`, also with `n_jobs`: it returns the value of a trial of a sweep.

        sweep = client.sweep("wave", inputs, targets, validation=0.2, epochs=30)
        study = optuna.create_study(pruner=optuna.pruners.MedianPruner())
        study.optimize(Objective(sweep, lambda trial: {"window": trial.suggest_int("window", 8, 64)}), n_trials=20)
        sweep.finish()
        print(sweep.wait(), study.best_params)

    The loss after each epoch, of the validation data if there are any, is reported to the study; a trial that the study
    prunes is cancelled. A trial of Optuna is the same trial of the sweep when it is run again.
    """

    def __init__(self, sweep: Sweep, suggest: Suggest) -> None:
        """Add trials to a sweep whose trials a client adds, with the values that `suggest` returns."""
        self._sweep = sweep
        self._suggest = suggest
        objective = sweep.document["objective"]
        self._direction = StudyDirection.MAXIMIZE if objective in MAXIMISED else StudyDirection.MINIMIZE

    def __call__(self, trial: optuna.Trial) -> float:
        """Run a trial and return its value, NaN if that is not finite, for which Optuna fails the trial.

        Raise optuna.TrialPruned, InvalidInput for values that the job cannot have, or TrialFailed.
        """
        self._check(trial.study)
        parameters = dict(self._suggest(trial))
        trial.set_user_attr(TRIAL, {"sweep": self._sweep.id, "parameters": parameters})
        added = self._sweep.add_trial(parameters, key=_key(trial.study, trial.number))
        for epoch in added.epochs():
            trial.report(self._comparable(epoch), epoch["epoch"] - 1)
            if trial.should_prune():
                added.cancel()
                break
        else:
            value = added.wait()
            return math.nan if value is None else value
        raise optuna.TrialPruned(f"after epoch {epoch['epoch']}")

    def tell_running(self, study: optuna.Study) -> int:
        """Wait for the trials that a process of this study left running when it ended, tell the study; return how many.

        The service has run them meanwhile. The study needs a storage that outlives its process.
        """
        self._check(study)
        told = 0
        for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            sent = left.user_attrs.get(TRIAL, {})
            if sent.get("sweep") != self._sweep.id:
                continue
            try:
                value = self._sweep.add_trial(sent["parameters"], key=_key(study, left.number)).wait()
            except (TrialFailed, InvalidInput, SweepNotOpen):  # the last two: it was never added
                value = None
            failed = None if value is not None else TrialState.FAIL
            study.tell(left.number, value, state=failed, skip_if_finished=True)
            told += 1
        return told

    def _check(self, study: optuna.Study) -> None:
        """Raise ValueError for a study that looks for the worst trial."""
        if study.direction != self._direction:
            objective, word = self._sweep.document["objective"], self._direction.name.lower()
            raise ValueError(
                f"a study of the objective {objective!r} must {word} it: optuna.create_study(direction={word!r})"
            )

    def _comparable(self, epoch: Document) -> float:
        """Return the loss of an epoch, negative for a study that maximises."""
        loss = epoch["loss"] if epoch.get("validation_loss") is None else epoch["validation_loss"]
        value = math.nan if loss is None else float(loss)
        return value if self._direction == StudyDirection.MINIMIZE else -value


def _key(study: optuna.Study, number: int) -> str:
    """Return the key under which a trial is sent, which makes it the same trial of the sweep each time."""
    return hashlib.sha256(f"{study.study_name}/{number}".encode()).hexdigest()[:32]  # names of studies are any text
