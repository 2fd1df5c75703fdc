"""`cellar serve`: the parent process of the API and a training worker, with a private Redis unless one is configured.

The parent holds the listening socket, so that connections wait while a crashed API process restarts. It imports neither
the engine nor the web framework.
"""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Literal

from cellar.embedded.directory import Directory
from cellar.embedded.processes import ChildProcess, supervise
from cellar.embedded.server import PrivateRedis
from cellar.errors import StartupError
from cellar.settings import Settings


def serve(settings: Settings, program: Sequence[str], say: Callable[[str], None]) -> int:
    """Run until a signal asks to stop; return the exit code. Raise StartupError if it cannot start.

    `program` is the command that the children are started with: `api SOCKET PARENT` and `worker --parent PARENT`.
    They get the URL of the private Redis in CELLAR_REDIS_URL.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        upkeep: Callable[[], None] | None = None
        if settings.embedded:
            say(f"Cellar keeps its data in a private Redis in {settings.data_dir}")
            directory = Directory(settings.data_dir, settings.runtime_dir)
            fsync: Literal["always", "everysec"] = "everysec" if settings.durability == "relaxed" else "always"
            redis = stack.enter_context(
                PrivateRedis(directory, fsync=fsync, max_memory_bytes=settings.redis_max_memory_bytes)
            )
            os.environ["CELLAR_REDIS_URL"] = redis.url
            upkeep = redis.keep
        parent = str(os.getpid())
        children = [ChildProcess("api", [*program, "api", str(listener.fileno()), parent], inherit=[listener.fileno()])]
        if settings.local_worker:
            children.append(ChildProcess("worker", [*program, "worker", "--parent", parent]))
        return supervise(children, upkeep, settings.drain_s)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port, 0 for a free port. Raise StartupError if the port is in use."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise StartupError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
