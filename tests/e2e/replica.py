"""A service as a user starts it: `cellar serve`, its children, and its end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVE = [sys.executable, "-m", "cellar.cli", "serve"]


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a service of one process on a free port with these settings."""
    own = {f"CELLAR_{name.upper()}": value for name, value in settings.items()}
    usual = {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "warning", "CELLAR_PROCESSES": "1"}
    usual["CELLAR_JOB_NICE"] = "0"  # a job yields to all other tests too, which may use every processor
    return os.environ | usual | own | {"PYTHONPATH": ":".join(sys.path)}


@dataclass
class Replica:
    """A running service."""

    process: "subprocess.Popen[str]"
    url: str
    announced: str = ""
    """The line in which it said where it is."""

    def kill(self) -> None:
        """End it and all its children with SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def children(self, word: str) -> list[int]:
        """Return the process ids of the children whose command line has this word, in order."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sorted(int(pid) for pid in children if word.encode() in _command(pid))

    def child(self, word: str) -> int:
        """Return the process id of the child whose command line has this word; 0 if there is none."""
        return next(iter(self.children(word)), 0)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def serving(settings: dict[str, str], command: Sequence[str] = SERVE) -> Iterator[Replica]:
    """Run a service in an environment."""
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout
        found = next(found for line in process.stdout if (found := re.search(r".*(?:ready|listens) at (\S+).*", line)))
        yield Replica(process, found[1], found[0])
    finally:
        process.terminate()
        process.communicate(timeout=30)


def alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end while it is read
        return False


def _command(pid: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):  # it may end while it is read
        return []
