"""A private Redis that outlives the process that started it and ends with the last that uses it."""

import logging
import os
import re
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cellar.embedded.binary import Release, choose_binary
from cellar.embedded.directory import Directory
from cellar.embedded.memory import memory_bytes
from cellar.errors import StartupError

log = logging.getLogger(__name__)

ANSWER_S = 30.0
"""How long a server may be silent at start; while it loads its data it is not silent."""

POLL_S = 0.01
"""Between two looks at a server that is starting or ending: both take tens of milliseconds."""

OPTIONS = {
    "--port": "0",
    "--unixsocketperm": "700",
    "--appendonly": "yes",
    "--save": "",
    "--maxmemory-policy": "noeviction",
    "--daemonize": "no",
}
"""Nothing is evicted, nobody else can connect."""

SILENCE = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
    (os.POSIX_SPAWN_DUP2, 0, 1),
    (os.POSIX_SPAWN_DUP2, 0, 2),
]
"""Standard streams of a server that must not hold the caller's terminal or pipe. It logs to a file."""


class PrivateRedis:
    """The Redis of a data directory, shared by every service on it. A context manager: the last one out stops it.

    With `fsync` always no acknowledged write is lost in a crash, with everysec those of the last second may be. A
    server that runs already stays as it is.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        fsync: Literal["always", "everysec"] = "always",
        max_memory_bytes: int | None = None,
    ) -> None:
        """Let it take half of the memory that there is unless `max_memory_bytes` says how much, 0 for all of it."""
        self._directory = directory
        self._max_memory_bytes = memory_bytes() // 2 if max_memory_bytes is None else max_memory_bytes
        self._fsync = fsync
        self._user: int | None = None
        self._process: int | None = None
        self._log_start = 0
        """Size of the log when the last server was started from here, bytes."""

    def __enter__(self) -> Self:
        """Use the running server or start one, and wait until it answers. Raise StartupError or RedisMissing."""
        self._user = self._directory.join()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if nobody else uses it."""
        self._leave()

    @property
    def url(self) -> str:
        """Return the URL by which redis-py finds the server."""
        return f"unix://{quote(str(self._directory.socket()))}?db=0"

    def is_running(self) -> bool:
        """Return whether a server runs on the data, whoever started it."""
        lock = self._directory.lock_server()
        if lock is not None:
            os.close(lock)
        return lock is None

    def ensure(self) -> bool:
        """Start a server if none runs; return True if one was started. Does not wait for it.

        Raise StartupError if it cannot be started now, also where the disk is full.
        """
        lock = self._directory.lock_server()
        if lock is None:
            return False
        try:
            self._start(lock)
        finally:
            os.close(lock)  # The server holds it now, or nobody.
        return True

    def last_words(self) -> str:
        """Return how the server ended that was started last, and what it logged last."""
        lines = _reasons(self._directory.read_log(self._log_start))
        return "; ".join(lines) or f"it logged no reason in {self._directory.log}"

    def _start(self, lock: int) -> None:
        self._directory.check_room()
        binary = choose_binary(self._directory.written_by())
        options = {"--unixsocket": str(self._directory.new_socket()), "--dir": str(self._directory.data), **OPTIONS}
        options |= {"--maxmemory": str(self._max_memory_bytes)}
        options |= {"--appendfsync": self._fsync, "--logfile": str(self._directory.log)}
        command = [str(binary.path), *(word for option in options.items() for word in option)]
        log.info("starting %s from %s", binary.release, binary.path)
        self._ended()  # Reaped, if there was one before.
        self._log_start = self._directory.log_size()
        os.set_inheritable(lock, True)
        # Not subprocess.Popen: the server is meant to outlive this process. A session of its own: Ctrl-C in the
        # terminal is for the service, which still needs Redis to drain.
        self._process = os.posix_spawn(binary.path, command, os.environ, file_actions=SILENCE, setsid=True)

    def _wait_until_it_answers(self) -> None:
        # The lock comes before the socket: a copied data directory names the socket of the server it was copied from.
        self.ensure()
        deadline = time.monotonic() + ANSWER_S
        while not self._answers():
            if self._ended():
                raise StartupError(f"Redis ended at once: {self.last_words()}")
            if self.ensure():
                deadline = time.monotonic() + ANSWER_S
            if time.monotonic() > deadline:
                raise StartupError(f"Redis does not answer at {self._directory.socket()}; see {self._directory.log}")
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        """Return whether the server answers, and record what it is: from now on the data is of its kind."""
        try:
            with self._client() as client:
                found = client.info("server")
        except redis.BusyLoadingError:
            log.info("Redis is loading its data")
            return False
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        self._directory.set_written_by(_release(found))
        return True

    def _client(self) -> "redis.Redis":
        socket = str(self._directory.socket())
        return redis.Redis(
            unix_socket_path=socket, decode_responses=True, socket_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0)
        )

    def _ended(self) -> bool:
        """Return whether a server that this process started has ended since the last look."""
        if self._process is None or os.waitpid(self._process, os.WNOHANG) == (0, 0):
            return False
        self._process = None
        return True

    def _leave(self) -> None:
        if self._user is None:
            return
        if self._directory.leave(self._user):
            self._stop()
        os.close(self._user)
        self._user = None

    def _stop(self) -> None:
        """Stop the server and wait until it has let go of the data."""
        with suppress(redis.ConnectionError, redis.TimeoutError), self._client() as client:
            client.shutdown(nosave=True)  # The append-only file is complete; a snapshot would only cost time.
        deadline = time.monotonic() + ANSWER_S
        while (lock := self._directory.lock_server()) is None:
            if time.monotonic() > deadline:
                log.warning("Redis has not stopped; see %s", self._directory.log)
                return
            time.sleep(POLL_S)
        self._directory.remove_socket()
        os.close(lock)
        self._ended()


def _reasons(log: str) -> list[str]:
    """Return the last warnings of a server's log, without what every server says at its start."""
    lines = [line.partition(" # ")[2].strip() for line in log.splitlines()]
    return [line for line in lines if line and not _USUAL.search(line)][-3:]


_USUAL = re.compile(
    r"is starting|[Vv]ersion=|^Configuration loaded|^Server initialized|^WARNING|^User requested shutdown"
    r"|bye bye|^Redis is now ready"
)
"""Warnings that are no reason for an end."""


def _release(found: dict[str, Any]) -> Release:
    kind = found.get("server_name", "redis")
    release = Release.parse(f"{kind} {found[f'{kind}_version']}")
    assert release, found
    return release
