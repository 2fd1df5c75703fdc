"""A quantity that grows is compared with its smallest size, round by round."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.scaling.scene import grown


def test_a_larger_size_is_held_against_the_smallest_in_each_round() -> None:
    row = grown("models", {"1": [10.0, 20.0, 30.0], "64": [11.0, 44.0, 36.0]}, {"1": 1.0, "64": 1.1})
    (bar,) = row.bars
    assert (bar.name, round(bar.value, 9), bar.met) == ("models_64", 1.2, False)
    assert row.lines == ["models 1: 20.0 us of CPU a step", "models 64: 36.0 us of CPU a step, 1.20 times"]


def test_a_process_ends_with_a_benchmark_that_is_killed() -> None:
    text = (
        "import sys; from benchmarks.serving.processes import Process\n"
        "print(Process([sys.executable, '-c', 'import time; time.sleep(100)'], {0}).popen.pid, flush=True)\n"
        "import time; time.sleep(100)"
    )
    cores = os.sched_getaffinity(0)
    text = text.replace("{0}", repr(cores))
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout
        child = Path(f"/proc/{int(benchmark.stdout.readline())}")
        assert child.exists()
        benchmark.send_signal(signal.SIGKILL)
        benchmark.wait()
    deadline_s = time.monotonic() + 10
    while child.exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not child.exists()
