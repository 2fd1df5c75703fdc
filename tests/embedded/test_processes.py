"""Supervised processes with real signals: started again, drained, killed when they will not go."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cellar.embedded.processes import GIVE_UP, ChildProcess, RestartBackoff, Upkeep
from tests.waiting import wait_until

PARENT = """
import sys
from pathlib import Path
from cellar.embedded.processes import ChildProcess, supervise

folder, drain_s, *programs = sys.argv[1:]
children = [ChildProcess(f"child{i}", [sys.executable, "-c", text, folder]) for i, text in enumerate(programs)]
sys.exit(supervise(children, (Path(folder) / "upkeep").touch, float(drain_s)))
"""

STARTED = """
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
(folder / f"started.{os.getpid()}").touch()
"""
RUN = STARTED + "signal.pause()\n"
DRAIN = (
    """
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
def drain(number, frame):
    (folder / "drained").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
"""
    + RUN
)
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + RUN
CRASH = STARTED + "sys.exit(1)\n"
HOPELESS = STARTED + f"sys.exit({GIVE_UP})\n"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a supervisor of the given programs, its drain limit first."""
    running: list[subprocess.Popen[bytes]] = []

    def start(drain_s: float, *programs: str) -> "subprocess.Popen[bytes]":
        running.append(subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), str(drain_s), *programs]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
    for child in pids(tmp_path):
        if is_alive(child):
            os.kill(child, signal.SIGKILL)


def pids(folder: Path) -> list[int]:
    """Return the children that ever started."""
    return sorted(int(path.suffix[1:]) for path in folder.glob("started.*"))


def is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_killed_child_starts_again(start: Start, tmp_path: Path) -> None:
    parent = start(1, RUN)
    (first,) = wait_until(lambda: pids(tmp_path), 10, "the child runs")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(pids(tmp_path)) == 2, 10, "another child runs")
    assert parent.poll() is None


def test_a_child_that_crashes_at_start_waits_longer_each_time(start: Start, tmp_path: Path) -> None:
    start(1, CRASH)
    wait_until(lambda: len(pids(tmp_path)) == 4, 10, "the child has crashed four times")
    times = sorted(path.stat().st_mtime for path in tmp_path.glob("started.*"))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[2] >= 0.4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_children(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    parent = start(10, DRAIN, RUN)
    wait_until(lambda: len(pids(tmp_path)) == 2, 10, "both run")
    parent.send_signal(number)
    assert parent.wait(10) == 0
    assert (tmp_path / "drained").exists()
    assert not any(is_alive(child) for child in pids(tmp_path))


def test_a_hangup_alone_stops_nothing(start: Start, tmp_path: Path) -> None:
    parent = start(1, RUN)
    wait_until(lambda: pids(tmp_path), 10, "it runs")
    parent.send_signal(signal.SIGHUP)
    (tmp_path / "upkeep").unlink(missing_ok=True)
    wait_until((tmp_path / "upkeep").exists, 10, "the parent runs")
    assert parent.poll() is None
    assert len(pids(tmp_path)) == 1


def test_the_end_of_its_terminal_stops_the_service(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", PARENT, str(tmp_path), "5", RUN])
    (child,) = wait_until(lambda: pids(tmp_path), 10, "it runs")
    os.kill(pid, signal.SIGHUP)
    (tmp_path / "upkeep").unlink(missing_ok=True)
    wait_until((tmp_path / "upkeep").exists, 10, "the parent runs: its terminal is there")
    os.close(terminal)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert not is_alive(child)


def test_a_child_that_will_not_go_is_killed_after_its_time(start: Start, tmp_path: Path) -> None:
    parent = start(0, STUBBORN)
    wait_until(lambda: pids(tmp_path), 10, "it runs")
    parent.terminate()
    assert parent.wait(10) == 0


def test_a_second_signal_ends_the_wait(start: Start, tmp_path: Path) -> None:
    parent = start(60, STUBBORN, DRAIN)
    wait_until(lambda: len(pids(tmp_path)) == 2, 10, "both run")
    parent.terminate()
    wait_until((tmp_path / "drained").exists, 10, "the drain has begun")
    parent.terminate()
    assert parent.wait(10) == 0


def test_a_child_that_gives_up_ends_all(start: Start, tmp_path: Path) -> None:
    parent = start(10, RUN, HOPELESS)
    assert parent.wait(10) == GIVE_UP
    assert not any(is_alive(child) for child in pids(tmp_path))


def test_upkeep_goes_on_beside_the_children(start: Start, tmp_path: Path) -> None:
    start(1, RUN)
    wait_until((tmp_path / "upkeep").exists, 10, "upkeep was called")
    (tmp_path / "upkeep").unlink()
    wait_until((tmp_path / "upkeep").exists, 10, "upkeep was called again")


def test_upkeep_that_raises_ends_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "upkeep").symlink_to("upkeep")  # `touch` raises on a link to itself
    parent = start(1, RUN)
    wait_until(lambda: pids(tmp_path), 10, "the child runs")
    (first,) = pids(tmp_path)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(pids(tmp_path)) == 2, 10, "the parent goes on and has started another child")
    (tmp_path / "upkeep").unlink()
    wait_until((tmp_path / "upkeep").exists, 10, "upkeep is tried again")
    assert parent.poll() is None


def test_upkeep_that_fails_again_and_again_is_tried_after_growing_pauses() -> None:
    tried: list[float] = []
    now_s, fails = 100.0, True

    def action() -> None:
        tried.append(now_s)
        if fails:
            raise OSError("no room")

    upkeep = Upkeep(action)
    for tick in range(200):
        now_s = 100 + tick / 10
        upkeep.run(now_s)
    pauses = [round(later - earlier, 3) for earlier, later in pairwise(tried)]
    assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert max(pauses) == 2.0
    fails, now_s = False, now_s + 5
    upkeep.run(now_s)
    fails, now_s = True, now_s + 60
    upkeep.run(now_s)
    assert len(tried) == 16
    upkeep.run(now_s + 0.11)
    assert len(tried) == 17, "after a long time without a fault the pause is short again"


def test_a_child_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    child = ChildProcess("child", [str(program), str(tmp_path)])
    assert child.keep(0.0)
    assert child.ended()
    program.write_text(f"#!{sys.executable}\n{STARTED}")
    program.chmod(0o700)
    assert child.keep(0.01)
    assert child.ended(), "not before its pause"
    assert child.keep(0.2)
    wait_until(lambda: pids(tmp_path), 10, "it has started")
    wait_until(child.ended, 10, "and ended")


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = RestartBackoff(0.5, 3, steady_s=10)
    pauses = []
    now_s = 0.0
    for _ in range(5):
        backoff.started(now_s)
        pauses.append(backoff.failed(now_s))
        now_s += pauses[-1]
    assert pauses == [0.5, 1, 2, 3, 3]


def test_nothing_is_due_before_its_pause_is_over() -> None:
    backoff = RestartBackoff(1, 4, steady_s=10)
    assert backoff.is_due(0)
    backoff.failed(100)
    assert not backoff.is_due(100.9)
    assert backoff.is_due(101)


def test_the_time_of_a_run_that_was_not_brief_counts_as_pause() -> None:
    backoff = RestartBackoff(0.1, 5, steady_s=10)
    pauses = []
    for run_s in (1, 1, 1, 1, 1, 1, 1, 3, 7):
        backoff.started(100)
        pauses.append(backoff.failed(100 + run_s))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 2, 0.1]


def test_what_ran_steadily_begins_with_the_first_pause() -> None:
    backoff = RestartBackoff(1, 8, steady_s=10)
    for now_s in (0, 1, 3):
        backoff.started(now_s)
        backoff.failed(now_s)
    backoff.started(7)
    assert backoff.failed(7 + 10.5) == 1
