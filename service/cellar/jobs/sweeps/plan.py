"""The next trials of a sweep and its best one, as functions of the trials that it has."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

from cellar.errors import InvalidInput, SweepNotOpen
from cellar.jobs.sweeps.space import MOST_TRIALS, Parameters, check_ranges, grid, sample
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.ports import Sweep, Trial

Objective = Literal["loss", "mae", "skill"]
"""The measure that is compared: the loss, the mean absolute error in units of the targets, or the share by which the
loss is below that of the best naive forecast. The last is maximised, the others are minimised."""

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

OPEN = ("waiting", "running")

EXTERNAL = "external"
"""The type of a search whose trials a client adds."""


def first_trials(search: Mapping[str, Any], parameters: Parameters, epochs: int) -> tuple[Trial, ...]:
    """Return the trials with which a sweep begins; `epochs` are those of its job. Raise InvalidInput."""
    if search["type"] == EXTERNAL:
        return ()
    check_ranges(parameters)
    if search["type"] == "grid":
        found = grid(parameters)
    else:
        found = [sample(parameters, search["seed"], number) for number in range(1, search["trials"] + 1)]
    of_rung = rung_epochs(search, epochs)[0] if search["type"] == "halving" else None
    return tuple(Trial(number, values, epochs=of_rung) for number, values in enumerate(found, 1))


def rung_epochs(search: Mapping[str, Any], epochs: int) -> list[int]:
    """Return the epochs of the rungs of a successive halving: each `factor` times those of the one before.

    There are as many rungs as leave one trial at the end, at least one epoch in each, and `epochs` in the last.

    >>> rung_epochs({"trials": 9, "factor": 3, "min_epochs": None}, 90)
    [10, 30, 90]
    >>> rung_epochs({"trials": 100, "factor": 2, "min_epochs": 4}, 20)
    [5, 10, 20]
    """
    factor, least = search["factor"], search["min_epochs"] or 1
    rungs = 1
    while factor**rungs <= search["trials"] and epochs // factor**rungs >= least:
        rungs += 1
    return [epochs // factor ** (rungs - 1 - rung) for rung in range(rungs)]


def objective_of(sweep: Sweep) -> Objective:
    """Return the objective of a sweep; those stored before there was a choice have the loss."""
    found: Objective = sweep.spec.get("objective", "loss")
    return found


def value_of(evaluation: Evaluation, objective: Objective) -> float | None:
    """Return the measure by which trials are compared; None if it is not known or not finite."""
    if objective != "skill":
        return evaluation.mae if objective == "mae" else evaluation.loss
    return None if not evaluation.better_by else min(evaluation.better_by.values())


def next_rung(
    search: Mapping[str, Any], trials: Sequence[Trial], epochs: int, objective: Objective = "loss"
) -> tuple[Trial, ...]:
    """Return the trials of the rung after the newest one, whose trials have all ended; none after the last one."""
    newest = max((trial.rung for trial in trials), default=0)
    budgets = rung_epochs(search, epochs) if search["type"] == "halving" else [0]
    if newest + 1 >= len(budgets):
        return ()
    of_rung = [trial for trial in trials if trial.rung == newest]
    survivors = ranked(of_rung, objective)[: math.ceil(len(of_rung) / search["factor"])]
    again = [trial for trial in survivors if trial.value is not None]
    return tuple(
        Trial(trial.number, trial.parameters, rung=newest + 1, epochs=budgets[newest + 1])
        for trial in sorted(again, key=lambda trial: trial.number)
    )


def ranked(trials: Sequence[Trial], objective: Objective = "loss") -> list[Trial]:
    """Return trials, the best first: those of later rungs, then those with better values, then those without one."""
    sign = -1 if objective == "skill" else 1

    def place(trial: Trial) -> tuple[int, float, int]:
        """Return the key of the order."""
        return -trial.rung, math.inf if trial.value is None else sign * trial.value, trial.number

    return sorted(trials, key=place)


def best(trials: Sequence[Trial], objective: Objective = "loss") -> Trial | None:
    """Return the best trial that has succeeded; None without one."""
    succeeded = [trial for trial in trials if trial.state == "succeeded" and trial.value is not None]
    return ranked(succeeded, objective)[0] if succeeded else None


def check_open(sweep: Sweep) -> None:
    """Raise SweepNotOpen or InvalidInput if no trial can be added."""
    if sweep.spec["search"]["type"] != EXTERNAL:
        raise SweepNotOpen(f"the sweep {sweep.sweep!r} chooses its trials itself: only external searches take some")
    if sweep.state != "running" or sweep.finishing or sweep.cancelling:
        raise SweepNotOpen(f"the sweep {sweep.sweep!r} was finished or cancelled, and takes no further trials")
    if len(sweep.trials) >= MOST_TRIALS:
        raise InvalidInput(
            "the sweep has as many trials as it may have: finish it",
            pointer="/parameters",
            expected=f"at most {MOST_TRIALS} trials",
            actual=f"{MOST_TRIALS + 1}",
        )


def cancelling(sweep: Sweep) -> Sweep:
    """Return a sweep as one that is to end with its jobs, if it has not ended."""
    return replace(sweep, cancelling=sweep.cancelling or sweep.state == "running")


def changed(trials: Sequence[Trial], trial: Trial, **members: Any) -> tuple[Trial, ...]:
    """Return the trials with one of them changed."""
    key = trial.number, trial.rung
    return tuple(replace(each, **members) if (each.number, each.rung) == key else each for each in trials)


def events_of_change(before: Sweep, now: Sweep) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return the events of a change."""
    known = {(trial.number, trial.rung): trial for trial in before.trials}
    new = [trial for trial in now.trials if known.get((trial.number, trial.rung)) != trial]
    found: list[tuple[str, dict[str, Any]]] = [("trial", asdict(trial)) for trial in new if trial.state != "waiting"]
    if now.state != "running":
        end = {"state": now.state, "result": now.result, "error": now.error}
        found.append(("end", {name: value for name, value in end.items() if value is not None}))
    return found
