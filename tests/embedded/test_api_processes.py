"""Api processes in their slots, with a stand-in for the process: started again, told of each other, replaced."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellar.embedded.processes import GIVE_UP
from tests.embedded.test_processes import is_alive
from tests.waiting import wait_until

PARENT = """
import os, sys
from cellar.embedded.announcement import Announcement
from cellar.embedded.api_processes import ApiProcesses, Launch, Sockets
from cellar.embedded.listeners import listeners, peer_listeners
from cellar.embedded.processes import supervise
from pathlib import Path

folder, slots = Path(sys.argv[1]), int(sys.argv[2])
program = [sys.executable, "-c", (folder / "program.py").read_text(), str(folder)]
with listeners("127.0.0.1", 0, slots) as tcp, peer_listeners(folder, folder / "run", slots) as unix:
    announcement = Announcement(tcp[0], slots, lambda text: print(text, flush=True))
    apis = ApiProcesses(Launch(program, os.getpid(), slots, Sockets(tcp, unix)), announcement, 5.0)
    sys.exit(supervise([], None, 5.0, apis))
"""

CHILD = """
import json, os, select, sys
from pathlib import Path
from cellar.embedded.place import Place

folder, place = Path(sys.argv[1]), Place.of(sys.argv[3])
mode = folder / "mode"
if mode.exists():
    (folder / f"tried.{os.getpid()}").touch()
    sys.exit(int(mode.read_text()))
channel = place.open_channel()
if place.slot == 0 and (folder / "ask").exists():
    channel.send({"refresh": 7})
channel.send({"ready": {"redis_version": "7.2.4", "durability": "always", "replicas": 0}})
while True:
    select.select([channel], [], [])
    for message in channel.receive():
        if "retire" in message:
            sys.exit(0)
        if "refreshed" in message:
            (folder / "refreshed").touch()
        if "refresh" in message and not (folder / "deaf").exists():
            channel.send({"refreshed": message["refresh"]})
        if "living" not in message:
            continue
        file = folder / f"living.{place.slot}.{os.getpid()}"
        file.with_suffix(".new").write_text(json.dumps(message["living"]))
        file.with_suffix(".new").rename(file)
"""


class Parent:
    """A supervisor of stand-ins."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder = folder
        (folder / "program.py").write_text(CHILD)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(folder), str(slots)], stdout=subprocess.PIPE, text=True
        )

    def living(self) -> dict[int, int]:
        """Return the living slots with their processes, if all living processes were told the same."""
        told = {path: json.loads(path.read_text()) for path in self.folder.glob("living.*.*") if path.suffix != ".new"}
        found = [text for path, text in told.items() if is_alive(int(path.suffix[1:]))]
        agreed = found and all(each == found[0] for each in found)
        return {int(slot): pid for slot, pid in found[0].items()} if agreed else {}

    def wait_for(self, slots: int, *, other_than: dict[int, int] | None = None) -> dict[int, int]:
        """Wait until this many slots live, each with another process than before, and all of them know."""
        before = (other_than or {}).items()

        def look() -> dict[int, int] | None:
            """Return what lives if that is all."""
            now = self.living()
            return now if len(now) == slots and not now.items() & before else None

        return wait_until(look, 20, "all were told")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    """Yield a supervisor of three stand-ins that are ready."""
    started = Parent(tmp_path, 3)
    try:
        started.wait_for(3)
        yield started
    finally:
        started.process.terminate()
        started.process.communicate(timeout=20)


def test_one_line_when_all_are_ready(parent: Parent) -> None:
    assert parent.process.stdout
    assert "with 3 processes" in parent.process.stdout.readline()
    parent.process.terminate()
    assert len(parent.process.stdout.read().splitlines()) == 1, "only the durability"
    assert parent.process.wait(20) == 0
    assert list((parent.folder / "run").iterdir()) == []


def test_a_killed_process_is_replaced_alone_and_the_others_are_told(parent: Parent) -> None:
    before = parent.wait_for(3)
    os.kill(before[1], signal.SIGKILL)
    wait_until(lambda: parent.living() == {slot: before[slot] for slot in (0, 2)}, 10, "the others know")
    after = parent.wait_for(3, other_than={1: before[1]})
    assert {slot: after[slot] for slot in (0, 2)} == {slot: before[slot] for slot in (0, 2)}


def test_a_hangup_replaces_all_one_after_the_other(parent: Parent) -> None:
    before = parent.wait_for(3)
    parent.process.send_signal(signal.SIGHUP)
    after = parent.wait_for(3, other_than=before)
    wait_until(lambda: not any(map(is_alive, before.values())), 10, "the old ones have ended")
    assert all(map(is_alive, after.values()))
    assert parent.process.poll() is None


@pytest.mark.parametrize("code", [1, GIVE_UP])
def test_a_new_process_that_cannot_start_replaces_nothing(parent: Parent, code: int) -> None:
    before = parent.wait_for(3)
    (parent.folder / "mode").write_text(str(code))
    parent.process.send_signal(signal.SIGHUP)
    tried = wait_until(lambda: list(parent.folder.glob("tried.*")), 20, "a new one has been tried")
    wait_until(lambda: not is_alive(int(tried[0].suffix[1:])), 20, "it has ended")
    (parent.folder / "mode").unlink()
    assert parent.wait_for(3) == before
    parent.process.send_signal(signal.SIGHUP)
    parent.wait_for(3, other_than=before)


def test_a_process_that_cannot_start_at_all_ends_the_service(tmp_path: Path) -> None:
    (tmp_path / "mode").write_text(str(GIVE_UP))
    started = Parent(tmp_path, 2)
    assert started.process.wait(20) == GIVE_UP
    assert started.process.stdout
    started.process.stdout.close()


def test_a_refresh_is_answered_once_all_others_have_carried_it_out_or_ended(parent: Parent) -> None:
    before = parent.wait_for(3)
    for name in ("ask", "deaf"):
        (parent.folder / name).touch()
    os.kill(before[0], signal.SIGKILL)  # the next one asks
    after = parent.wait_for(3, other_than={0: before[0]})
    (parent.folder / "deaf").unlink()
    assert not (parent.folder / "refreshed").exists()
    for slot in (1, 2):
        os.kill(after[slot], signal.SIGKILL)
    wait_until((parent.folder / "refreshed").exists, 20, "it is answered")


def test_a_refresh_is_answered(parent: Parent) -> None:
    (parent.folder / "ask").touch()
    os.kill(parent.wait_for(3)[0], signal.SIGKILL)
    wait_until((parent.folder / "refreshed").exists, 20, "it is answered")


def test_connections_wait_for_the_processes(parent: Parent) -> None:
    """The stand-ins accept nothing, and yet no connection is refused."""
    assert parent.process.stdout
    host, port = parent.process.stdout.readline().split("http://")[1].split(" ")[0].split(":")
    for _ in range(20):
        socket.create_connection((host, int(port)), timeout=5).close()
