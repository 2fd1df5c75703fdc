"""Cellar and its peers on one case, in one run: agreement first, then times."""

from collections.abc import Sequence
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
"""A way that takes so many times as long as the fastest peer is timed no further."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds of samples, and single calls for percentiles."""

    rounds: int
    calls: int


QUICK, THOROUGH = Effort(rounds=9, calls=500), Effort(rounds=25, calls=10_000)


def carried(runner: Runner, inputs: Array, states: Array) -> Repeat:
    """Return what steps a runner over and over on the same inputs, its state carried from call to call."""
    state: Any = runner.begin(states)
    step = runner.step

    def repeat(loops: int) -> None:
        nonlocal state
        for _ in range(loops):
            _, state = step(inputs, state)

    return repeat


def race(
    case: Case, ours: Sequence[Runner], peers: Sequence[Runner], data: tuple[Array, Array], effort: Effort
) -> list[Result]:
    """Return a result for each of ours, the first of which is the plain one. Raise Disagreement."""
    check_agreement([*ours, *peers], *data)
    repeats = [carried(runner, *data) for runner in (*ours, *peers)]
    paces = [pace(repeat) for repeat in repeats]
    entered = _entered(paces, len(ours))
    samples = interleave([repeats[i] for i in entered], [paces[i] for i in entered], effort.rounds)
    seconds = {i: paces[i].seconds for i in range(len(paces))} | {
        i: median(times) for i, times in zip(entered, samples, strict=True)
    }
    best = min(entered[len(ours) :], key=lambda i: seconds[i])
    best_samples = samples[entered.index(best)]
    p99 = {i: percentile(repeats[i], effort.calls, 99) for i in (*range(len(ours)), best)} if case.single_step else {}
    return [
        Result(
            case,
            seconds[index],
            {peer.name: seconds[len(ours) + at] for at, peer in enumerate(peers)},
            peers[best - len(ours)].name,
            paired_ratio(best_samples, samples[index]),
            variant="" if index == 0 else ours[index].name,
            p99_s=(p99[index], p99[best]) if p99 else None,
        )
        for index in range(len(ours))
    ]


def _entered(paces: Sequence[Pace], ours: int) -> list[int]:
    """Return who is timed in all rounds: ours, and the peers that may be the fastest."""
    limit = CONTENDERS * min(p.seconds for p in paces[ours:])
    return [i for i, p in enumerate(paces) if i < ours or p.seconds <= limit]
