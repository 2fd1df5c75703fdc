"""Write a data directory as another version of the service leaves it, and how that version went on from there.

    git worktree add --detach /tmp/then COMMIT
    python -m tests.stored.write /tmp/then tests/stored/data_COMMIT

The service of that checkout is filled, killed in the middle of a training job, and started again, twice, on copies of
what it has left. `answers.json` holds what both of these answered alike.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.e2e.replica import Replica, environment, serving
from tests.stored.client import ANY, Client, common
from tests.stored.requests import AFTER, BEFORE, get

FILES = ("appendonly.aof", "release")
"""What of a data directory is data."""

ACTIVE = "cellar:{jobs}:active"
"""Jobs that have not ended, by the time at which each is to be looked at."""

STOP_AT = 0.85
"""Share of its epochs after which the job is stopped in the middle."""

LIFETIME_MS = 60 * 365 * 24 * 3600 * 1000
"""Given to what an hour or a month would have taken away, so that the files can be read for long."""

SHORT_MS = 600_000
"""A lifetime up to which a key is gone when the files are read."""


@contextmanager
def service_of(checkout: Path, data: Path) -> Iterator[Replica]:
    """Run the service of a checkout on a data directory."""
    then = {"PYTHONPATH": str(checkout / "service")}
    code = [sys.executable, "-P", "-c", "import cellar; print(cellar.__file__)"]
    found = subprocess.run(code, env=os.environ | then, capture_output=True, text=True, check=True).stdout
    assert Path(found).is_relative_to(checkout), found
    settings = environment(data_dir=str(data), worker="true") | then
    with serving(settings) as replica:
        yield replica


def fill(checkout: Path, data: Path) -> dict[str, Any]:
    """Fill the directory and leave it with a job in the middle; return what a client of it knows."""
    with service_of(checkout, data) as replica, closing(Client(replica.url, {}, {})) as client:
        for request in BEFORE:
            answer = client.ask(request)
            if request.until.get("status") is None and answer["status"] >= 400:
                raise SystemExit(f"{request}: {client.said}")
        while True:
            progress = client.ask(get("/jobs/{half}"))["body"]["progress"]
            if progress and progress["epoch"] > STOP_AT * progress["epochs"]:
                break
            time.sleep(0.01)
        kill(replica)
    with redis.Redis(unix_socket_path=(data / "socket").read_text().strip()) as server:
        epoch = json.loads(server.hget(f"cellar:{{jobs}}:default/{client.jobs['half']}", "progress") or "")["epoch"]
        age(server)
        server.bgrewriteaof()
        while server.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.01)
        server.shutdown(nosave=True)
    time.sleep(0.5)  # until the server has let go of its files
    return {"positions": client.positions, "jobs": client.jobs, "checkpoint_epoch": epoch}


def age(server: "redis.Redis") -> None:
    """Make the data what a reader finds some time later, whatever its clock says."""
    for key in list(server.scan_iter()):
        lifetime_ms = server.pttl(key)
        if lifetime_ms > SHORT_MS:
            server.pexpire(key, LIFETIME_MS)
        elif lifetime_ms >= 0:
            server.unlink(key)
        elif server.type(key) == b"hash" and server.hexists(key, "lease_ms"):
            server.hset(key, "lease_ms", 1)
    members: list[Any] = list(server.zrange(ACTIVE, 0, -1))
    server.zadd(ACTIVE, dict.fromkeys(members, 1))


def kill(replica: Replica) -> None:
    """End the service and all that it has started, so that no process gives the job back."""
    below = [replica.process.pid]
    for pid in below:
        below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in reversed(below):
            if b"redis-server" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, number)


def go_on(checkout: Path, data: Path, known: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the answers of the checkout's service to what comes after."""
    with (
        service_of(checkout, data) as replica,
        closing(Client(replica.url, dict(known["positions"]), dict(known["jobs"]))) as client,
    ):
        return {topic: [client.ask(request) for request in requests] for topic, requests in AFTER.items()}


def copy(source: Path, target: Path) -> Path:
    """Copy what is data into a directory that no other user may enter, and return it."""
    target.mkdir(mode=0o700, parents=True)
    for name in FILES:
        shutil.copyfile(source / name, target / name)
    return target


def written(known: dict[str, Any]) -> str:
    """Return what a client knows as JSON, a line for each answer."""
    lines = ",\n".join(
        f"{json.dumps(topic)}: [\n" + ",\n".join(map(json.dumps, answers)) + "\n]"
        for topic, answers in known["answers"].items()
    )
    rest = json.dumps({name: value for name, value in known.items() if name != "answers"}, indent=1)
    return rest.removesuffix("\n}") + f',\n "answers": {{\n{lines}\n}}}}\n'


def differing(value: Any, where: str) -> Iterator[str]:
    """Yield where two services have answered differently."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from differing(part, f"{where}/{name}")
    if value == ANY:
        yield where


def main() -> None:
    """Write the files, and print which parts of the answers are not kept."""
    checkout, target = (Path(argument).resolve() for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        (room / "data").mkdir(mode=0o700)
        known = fill(checkout, room / "data")
        copy(room / "data", target)
        first, second = (go_on(checkout, copy(target, room / f"copy-{n}"), known) for n in range(2))
    known["answers"] = common(first, second)
    (target / "answers.json").write_text(written(known))
    sys.stdout.write("\n".join(differing(known["answers"], "")) + "\n")


if __name__ == "__main__":
    main()
