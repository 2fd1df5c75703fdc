"""Measures the start of `cellar serve` until its first 200 at /readyz, with an empty and a filled kernel cache.

`python -m benchmarks.start` prints seconds from the start of the process, and the CPU time that its processes have used
by then. `--against CHECKOUT` starts the service of another checkout in turn with this one, and prints the ratio of the
CPU times, which other programs on the machine hardly change.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from benchmarks.serving.processes import cpu_s_of, family_of

WARM_STARTS = 5
ROLES = ("serve", "api", "worker")


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until a service was ready, and the CPU time by role: of one process, if there are several."""

    ready_s: float
    cpu_s: dict[str, float]


def start(directory: Path, checkout: Path | None = None) -> Start:
    """Start a service on this directory, of another checkout if one is given, until it is ready."""
    own = {name: str(directory / name.lower()) for name in ("CELLAR_DATA_DIR", "CELLAR_CACHE_DIR")}
    settings = os.environ | own | {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "warning"}
    settings.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    if checkout is not None:
        settings["PYTHONPATH"] = str(checkout / "service")
    begin = time.perf_counter()
    command = [sys.executable, "-P", "-m", "cellar.cli", "serve"]
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
            httpx.get(f"{url}/readyz").raise_for_status()
            return Start(time.perf_counter() - begin, _cpu_s(process.pid))
        finally:
            process.terminate()
            process.communicate()


def _cpu_s(parent: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for pid in family_of(parent):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        role = next((role for role in ROLES if role.encode() in words), None)
        if role is not None:
            found[role] = cpu_s_of(pid)
    return found


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    options = parser.parse_args()
    checkouts = [None] if options.against is None else [None, options.against]
    found: dict[Path | None, list[Start]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as directory:
        for number, checkout in enumerate(checkouts):
            ready_s = start(Path(directory, str(number)), checkout).ready_s
            print(f"{checkout or 'this'}: ready after {ready_s:.1f} s with a cold kernel cache", flush=True)
        for _ in range(WARM_STARTS):
            for number, checkout in enumerate(checkouts):
                found[checkout].append(start(Path(directory, str(number)), checkout))
    cpu = {checkout: _medians(starts) for checkout, starts in found.items()}
    for checkout, starts in found.items():
        times = sorted(each.ready_s for each in starts)
        of_each = ", ".join(f"{role} {seconds:.2f}" for role, seconds in cpu[checkout].items())
        print(f"{checkout or 'this'}: ready after {times[0]:.1f} to {times[-1]:.1f} s; CPU s: {of_each}")
    if options.against is not None:
        ratios = {role: seconds / cpu[options.against][role] for role, seconds in cpu[None].items()}
        print("ratio of the CPU times:", ", ".join(f"{role} {ratio:.2f}" for role, ratio in ratios.items()))


def _medians(starts: list[Start]) -> dict[str, float]:
    return {role: median(each.cpu_s[role] for each in starts) for role in starts[0].cpu_s}


if __name__ == "__main__":
    main()
