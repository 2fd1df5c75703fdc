"""Imports beside the originals: `.venv-bench/bin/python -m tests.interchange.run --only keras --count 300`.

Prints for each framework how many cases agree within 1e-5, and each that is wrong or refused. Exits 1 if one is wrong.
"""

import argparse
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cellar.engine import KernelCache
from tests.interchange.proofs.outcome import Outcome

PROOFS: dict[str, tuple[str, int]] = {
    "keras": ("tests.interchange.proofs.keras_models", 300),
    "onnx": ("tests.interchange.proofs.onnx_models", 500),
    "export": ("tests.interchange.proofs.export", 200),
    "policies": ("tests.interchange.proofs.policies", 50),
    "torch": ("tests.interchange.proofs.torch_modules", 300),
    "torch-exports": ("tests.interchange.proofs.torch_exports", 200),
    "voice-detector": ("tests.interchange.proofs.voice_detector", 200),
    "client": ("tests.interchange.proofs.client_files", 5),
}
"""By name the module with `prove(cache, count, seed)`, and how many cases it has by default."""


def main() -> None:
    """Run the proofs, print, and exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PROOFS, help="one of them; default: all")
    parser.add_argument("--count", type=int, help="cases; default: that of the proof")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernels", type=Path, default=None, help="where compiled kernels are kept")
    given = parser.parse_args()
    cache = KernelCache(given.kernels)
    wrong = 0
    for name in [given.only] if given.only else PROOFS:
        module, count = PROOFS[name]
        began = time.monotonic()
        prove: Callable[[KernelCache, int, int], Outcome] = import_module(module).prove
        outcome = prove(cache, given.count or count, given.seed)
        report(name, outcome, time.monotonic() - began)
        wrong += len(outcome.wrong)
    sys.exit(1 if wrong else 0)


def report(name: str, outcome: Outcome, seconds: float) -> None:
    """Print what a proof found."""
    counts = ", ".join(f"{count} {what}" for what, count in sorted(outcome.counts.items()))
    print(f"{name}: {counts}; largest difference {outcome.largest:.2e}; {seconds:.0f} s")
    for reason, count in outcome.refused.most_common():
        print(f"  {count} refused: {reason}")
    for line in outcome.wrong:
        print(f"  WRONG {line}")


if __name__ == "__main__":
    main()
