"""A child dies with its parent, also when the parent has no time to say so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

PARENT = """
import os, signal, time
from cellar.parent_death import die_with_parent
parent = os.getpid()
child = os.fork()
if child == 0:
    die_with_parent(parent)
    print(os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""


def test_a_child_is_killed_when_its_parent_is() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not _alive(child), 5, "the child is gone")


def test_a_child_whose_parent_is_gone_already_ends_itself() -> None:
    code = "from cellar.parent_death import die_with_parent; die_with_parent(1234567); print('alive')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=_environment())
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
