"""The benchmark of floods runs, and the service that is flooded stays small. Times are not judged here."""

import re
import subprocess
import sys

from tests.docs.pages import ROOT

MOST_MIB = 600


def test_floods_leave_the_service_small() -> None:
    command = [sys.executable, "-m", "benchmarks.floods", "--seconds", "0.5", "--only", "pings"]
    done = subprocess.run(
        [*command, "--only", "pipelined requests"], capture_output=True, text=True, check=True, cwd=ROOT, timeout=110
    )
    found = re.findall(r"^(pings|pipelined requests) .* (\d+)$", done.stdout, re.MULTILINE)
    assert [name for name, _ in found] == ["pings", "pipelined requests"], done.stdout
    assert all(0 < int(size) < MOST_MIB for _, size in found)
