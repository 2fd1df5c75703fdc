"""`cellar serve`: the parent of the api processes and the training workers, with a private Redis unless one is set.

The parent holds the listening sockets, so that connections wait while a crashed api process restarts. It imports
neither the engine nor the web framework.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Literal

from cellar.embedded.announcement import Announcement
from cellar.embedded.api_processes import ApiProcesses, Launch, Sockets
from cellar.embedded.directory import Directory
from cellar.embedded.listeners import listeners, peer_listeners
from cellar.embedded.processes import ChildProcess, supervise
from cellar.embedded.server import PrivateRedis
from cellar.keys.pepper import FILE as PEPPER_FILE
from cellar.keys.pepper import read_pepper
from cellar.machine import memory_bytes, processors
from cellar.metrics.shared_page import SharedPage
from cellar.metrics.snapshot import Snapshot
from cellar.settings import Settings

MOST_PROCESSES = 4
"""Processes by default, also on larger machines: one Redis seldom commits for more."""

PROCESS_BYTES = 512 * 1024 * 1024
"""Memory for each process by default, of the half of the machine's that is not Redis'."""


def serve(settings: Settings, program: Sequence[str], say: Callable[[str], None]) -> int:
    """Run until a signal asks to stop; return the exit code. Raise StartupError if it cannot start.

    `program` is the command that the children are started with: `api PLACE` and `worker --parent PARENT`. They get the
    URL of the private Redis in CELLAR_REDIS_URL.
    """
    # Until there are processes to restart, SIGHUP does nothing. A handler, and not SIG_IGN, which Redis would inherit.
    signal.signal(signal.SIGHUP, lambda *_: None)
    slots = settings.processes or default_processes()
    with ExitStack() as stack:
        tcp = stack.enter_context(listeners(settings.host, settings.port, slots))
        upkeep: Callable[[], None] | None = None
        if settings.embedded:
            say(f"Cellar keeps its data in a private Redis in {settings.data_dir}")
            directory = Directory(settings.data_dir, settings.runtime_dir)
            fsync: Literal["always", "everysec"] = "everysec" if settings.durability == "relaxed" else "always"
            redis = stack.enter_context(
                PrivateRedis(directory, fsync=fsync, max_memory_bytes=settings.redis_max_memory_bytes, say=say)
            )
            os.environ["CELLAR_REDIS_URL"] = redis.url
            if settings.key_pepper is None:
                os.environ["CELLAR_KEY_PEPPER"] = read_pepper(settings.data_dir / PEPPER_FILE)
            os.environ["CELLAR_DATASET_DIR"] = str(settings.dataset_directory)
            upkeep = redis.keep
        unix = []
        if slots > 1:
            unix = stack.enter_context(peer_listeners(settings.data_dir, settings.runtime_dir, slots))
        page = stack.enter_context(SharedPage.create(2 * slots + settings.local_workers))
        parent = os.getpid()
        announcement = Announcement(tcp[0], slots, say, tls=settings.tls_certificate is not None)
        apis = ApiProcesses(Launch(program, parent, slots, Sockets(tcp, unix), page), announcement, settings.drain_s)
        workers = [
            ChildProcess(
                f"worker {number}" if number else "worker",
                [*program, "worker", "--parent", str(parent)],
                started=partial(_show, page, 2 * slots + number),
            )
            for number in range(settings.local_workers)
        ]
        return supervise(workers, upkeep, settings.drain_s, apis)


def _show(page: SharedPage, region: int, name: str, pid: int) -> None:
    """Have the metrics show a process that publishes none itself."""
    page.write(region, Snapshot(name, pid, time.time(), None).to_bytes())


def default_processes() -> int:
    """Return one process for each processor, at most MOST_PROCESSES, and fewer if there is little memory."""
    return max(1, min(processors(), MOST_PROCESSES, memory_bytes() // 2 // PROCESS_BYTES))
