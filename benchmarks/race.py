"""Runs Cellar and its peers on one case: compares their outputs, then measures their times in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.agreement import check_agreement
from benchmarks.cases import Case
from benchmarks.report import Result
from benchmarks.runner import Runner
from benchmarks.timing import Pace, Repeat, interleave, pace, paired_ratio, percentile
from benchmarks.weights import Array

CONTENDERS = 1.4
"""A way that is slower than the fastest peer by this factor is not timed further."""


@dataclass(frozen=True, slots=True)
class Effort:
    """The extent of a measurement: rounds, single calls for percentiles, and seconds for the rounds of a case."""

    rounds: int
    calls: int
    case_s: float
    pause_s: float = 0.0
    """Pause before each sample: threads of the previous runner may spin for a while and take a core from the next."""

    def rounds_of(self, round_s: float) -> int:
        """Return how many rounds of `round_s` seconds are taken: at least five, because a median needs them."""
        return max(5, min(self.rounds, int(self.case_s / round_s)))


QUICK, THOROUGH = Effort(rounds=9, calls=300, case_s=1.0), Effort(rounds=25, calls=10_000, case_s=20.0)


def carried(runner: Runner, inputs: Array, states: Array) -> Repeat:
    """Return a function that calls a runner repeatedly with the same inputs and carries the state from call to call."""
    state: Any = runner.begin(states)
    step = runner.step

    def repeat(loops: int) -> None:
        nonlocal state
        for _ in range(loops):
            _, state = step(inputs, state)

    return repeat


def race(
    case: Case,
    ours: Sequence[Runner],
    peers: Sequence[Runner],
    data: tuple[Array, Array],
    effort: Effort,
    parts: Mapping[str, Repeat] | None = None,
) -> list[Result]:
    """Return a result for each variant of Cellar, the first of which is the default. Raise Disagreement.

    `parts` are parts of Cellar's call that are timed too.
    """
    check_agreement([*ours, *peers], *data)
    mine, theirs = ({runner.name: carried(runner, *data) for runner in side} for side in (ours, peers))
    return compare(case, mine | dict(parts or {}), theirs, effort)


def compare(
    case: Case, ours: Mapping[str, Repeat], peers: Mapping[str, Repeat], effort: Effort, passes: int = 1
) -> list[Result]:
    """Return a result for each variant of Cellar, the first of which is the default, compared with the fastest peer.

    `passes` is how often a call computes the matrix products of the case.
    """
    names = [*ours, *peers]
    repeats = [*ours.values(), *peers.values()]
    paces = [pace(repeat, pause_s=effort.pause_s) for repeat in repeats]
    entered = _entered(paces, len(ours))
    rounds = effort.rounds_of(sum(paces[i].loops * paces[i].seconds for i in entered))
    samples = interleave([repeats[i] for i in entered], [paces[i] for i in entered], rounds, effort.pause_s)
    times = dict(zip(entered, samples, strict=True))
    seconds = [median(times[i]) if i in times else paces[i].seconds for i in range(len(names))]
    best = min(entered[len(ours) :], key=lambda i: seconds[i])
    p99 = [percentile(repeats[i], effort.calls, 99) for i in (*range(len(ours)), best)] if case.single_step else []
    return [
        Result(
            case,
            seconds[i],
            dict(zip(peers, seconds[len(ours) :], strict=True)),
            names[best],
            paired_ratio(times[best], times[i]),
            variant=names[i] if i else "",
            passes=passes,
            p99_s=(p99[i], p99[-1]) if p99 else None,
        )
        for i in range(len(ours))
    ]


def _entered(paces: Sequence[Pace], ours: int) -> list[int]:
    """Return the runners that are timed in all rounds: those of Cellar, and the peers that may be the fastest."""
    limit = CONTENDERS * min(p.seconds for p in paces[ours:])
    return [i for i, p in enumerate(paces) if i < ours or p.seconds <= limit]
