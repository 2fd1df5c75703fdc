"""A child dies with its parent, the limit of open files is raised, and connections never use up all of them."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cellar.process import RESERVED_FILES, connections_within, has_ended, identity
from tests.waiting import wait_until

PARENT = """
import os, signal, time
from cellar.process import end_with_parent
parent = os.getpid()
child = os.fork()
if child == 0:
    end_with_parent(parent)
    print(os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""

RAISES_ITS_LIMIT = """
import resource
from cellar.process import allow_all_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert allow_all_files() == hard
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


YIELDS = """
import os, sys
from cellar.process import AUTOGROUP, yield_to_others
for _ in range(int(sys.argv[1])):
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
yield_to_others(7)
group = AUTOGROUP.read_text().split()[-1] if AUTOGROUP.exists() else "none"
print(os.getpriority(os.PRIO_PROCESS, 0), group, flush=True)
"""


def test_a_child_is_killed_when_its_parent_is() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not _alive(child), 5, "the child is gone")


def test_a_child_whose_parent_is_gone_already_ends_itself() -> None:
    code = "from cellar.process import end_with_parent; end_with_parent(1234567); print('alive')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=_environment())
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b""


def test_the_soft_limit_of_open_files_becomes_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", RAISES_ITS_LIMIT], capture_output=True, check=True, env=_environment())
    assert int(done.stdout) == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize(("below", "group"), [(0, "7"), (1, "7"), (2, "0")])
def test_the_session_of_a_worker_yields_with_it_but_not_that_of_others(below: int, group: str) -> None:
    """A job is a child of its worker. If the worker leads no session, others such as the service may be in it."""
    command = [sys.executable, "-c", YIELDS, str(below)]
    done = subprocess.run(command, capture_output=True, check=True, env=_environment(), start_new_session=True)
    assert done.stdout.decode().split() in (["7", group], ["7", "none"])


def test_a_process_is_known_again_when_it_has_ended() -> None:
    code = "from cellar.process import identity; print(identity(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip()
        assert not has_ended(name)
        process.send_signal(signal.SIGSTOP)
        assert not has_ended(name), "it is paused"
        host, pid, started = name.split(".")
        assert has_ended(f"{host}.{pid}.{int(started) - 1}"), "another process has got its id"
        assert not has_ended(f"{host}1.{pid}.{int(started) - 1}"), "that of another host or container"
        process.kill()
        wait_until(lambda: not _alive(process.pid), 30, "it is a zombie")
        assert has_ended(name)
    assert has_ended(name), "its id is free"


@pytest.mark.parametrize("text", ["", "0f3a", "a.b", "a.b.c", "a.-1.2", "None"])
def test_another_text_names_no_process_that_has_ended(text: str) -> None:
    own, _, rest = str(identity()).partition(".")
    assert not any(map(has_ended, (text, f"{own}.{text}", f"{own}.{rest}")))


def test_files_are_kept_for_others_than_connections() -> None:
    assert connections_within(5000, 4096) == 4096 - RESERVED_FILES
    assert connections_within(5000, 100_000) == 5000


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
