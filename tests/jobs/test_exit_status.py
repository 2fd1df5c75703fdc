"""What a wait status says, of real processes that ended so."""

import os
import signal
import subprocess
import sys

import pytest

from cellar.jobs.worker import describe_exit


def status_of(program: str) -> int:
    """Return the wait status of a Python program."""
    process = subprocess.Popen([sys.executable, "-c", f"import os, signal, sys\n{program}"])
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # it is waited for: subprocess need not
    return status


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "SIGSEGV (a fault of the service"),
        (signal.SIGKILL, "SIGKILL (the system kills a process so when it needs more memory"),
        (signal.SIGTERM, "SIGTERM"),
        (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_signal_is_named(number: int, words: str) -> None:
    assert describe_exit(status_of(f"os.kill(os.getpid(), {int(number)})")).startswith(words)


def test_an_exit_status_is_told() -> None:
    assert describe_exit(status_of("sys.exit(3)")) == "exit status 3"


def test_a_process_whose_status_was_lost_has_died_of_something() -> None:
    """rq's timer interrupts the call that waits for a process, perhaps after the system has forgotten the process."""
    assert describe_exit(None) == "a cause that is not known"
