"""Measures the time from the start of `cellar serve` to its first 200 at /readyz, with an empty and a filled cache.

`python -m benchmarks.start` prints seconds from the start of the process; run it on a machine that does nothing else.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

WARM_STARTS = 5


def start_s(directory: Path) -> float:
    """Return the seconds from the start of a service on this directory until it is ready."""
    own = {name: str(directory / name.lower()) for name in ("CELLAR_DATA_DIR", "CELLAR_CACHE_DIR")}
    settings = os.environ | own | {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "warning"}
    begin = time.perf_counter()
    command = [sys.executable, "-m", "cellar.cli", "serve"]
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
            httpx.get(f"{url}/readyz").raise_for_status()
            return time.perf_counter() - begin
        finally:
            process.terminate()
            process.communicate()


def main() -> None:
    """Print the times."""
    with tempfile.TemporaryDirectory() as directory:
        print(f"cold kernel cache: ready after {start_s(Path(directory)):.1f} s")
        times = sorted(start_s(Path(directory)) for _ in range(WARM_STARTS))
        print(f"warm kernel cache: ready after {times[0]:.1f} to {times[-1]:.1f} s, {WARM_STARTS} starts")


if __name__ == "__main__":
    main()
