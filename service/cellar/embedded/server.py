"""A private Redis server that is shared by the services on a data directory and ends with the last of them."""

import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cellar.embedded.binary import Release, choose_binary
from cellar.embedded.directory import Directory
from cellar.errors import StartupError
from cellar.machine import memory_bytes

log = logging.getLogger(__name__)

ANSWER_S = 30.0
"""Time within which a starting server must answer, if only that it loads its data, and a stopping one must end."""

LOOK_S = 1.0
"""Time within which a server that loads its data must say how far it is; it is asked again later, seconds."""

POLL_S = 0.01
"""Interval of checks of a starting or stopping server; both take tens of milliseconds."""

OPTIONS = {
    "--port": "0",
    "--unixsocketperm": "700",
    "--appendonly": "yes",
    "--save": "",
    "--maxmemory-policy": "noeviction",
    "--daemonize": "no",
}
"""No eviction, and only a socket that other users cannot open."""

SILENCE = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
    (os.POSIX_SPAWN_DUP2, 0, 1),
    (os.POSIX_SPAWN_DUP2, 0, 2),
]
"""Standard streams of the server, which must not keep this process's terminal or pipes open. It logs to a file."""


class PrivateRedis:
    """The Redis of a data directory, shared by all services on it. A context manager: the last service stops it.

    With `fsync` always no acknowledged write is lost in a crash, with everysec those of the last second may be. A
    running server keeps its options.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        fsync: Literal["always", "everysec"] = "always",
        max_memory_bytes: int | None = None,
        say: Callable[[str], None] = log.info,
    ) -> None:
        """Limit its memory to `max_memory_bytes`, 0 for no limit; by default to half of the available memory.

        `say` is called with what takes long: a server that loads its data.
        """
        self._directory = directory
        self._max_memory_bytes = memory_bytes() // 2 if max_memory_bytes is None else max_memory_bytes
        self._fsync = fsync
        self._user: int | None = None
        self._process: int | None = None
        self._log_start = 0
        """Size of the log when this process last started a server, bytes."""
        self._say = say
        self._loading_since_s: float | None = None
        """When the server was found to load its data, by the monotonic clock; None if it does not."""
        self._is_down = False
        """Whether `keep` has found that the server has ended, and not started it again."""

    def __enter__(self) -> Self:
        """Use the running server or start one, and wait until it answers. Raise StartupError or RedisMissing."""
        self._user = self._directory.join()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server if no other service uses it."""
        self._leave()

    @property
    def url(self) -> str:
        """Return the URL of the server."""
        return f"unix://{quote(str(self._directory.socket()))}?db=0"

    def is_running(self) -> bool:
        """Return whether a server runs on the data; another process may have started it."""
        lock = self._directory.lock_server()
        if lock is not None:
            os.close(lock)
        return lock is None

    def keep(self) -> None:
        """Start the server again if it has ended. Child processes of the service reconnect by themselves.

        Raise StartupError when it is found to have ended, with the reason; the next call starts it, and raises
        StartupError if it cannot be started.
        """
        if self._is_down:
            try:
                self.ensure()
            except OSError as error:  # no process or file to spare now
                raise StartupError(f"the private Redis cannot be started: {error}") from error
            self._is_down = False
        elif not self.is_running():
            self._is_down = True
            raise StartupError(f"the private Redis has ended: {self.last_words()}")
        self._note_loaded()

    def ensure(self) -> bool:
        """Start a server if none runs, without waiting for it; return whether one was started.

        Raise StartupError if it cannot be started now, for instance because the disk is full.
        """
        lock = self._directory.lock_server()
        if lock is None:
            return False
        try:
            self._start(lock)
        finally:
            os.close(lock)  # the server has inherited it, or the start failed
        return True

    def last_words(self) -> str:
        """Return the last warnings in the log of the server that was started last."""
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
        self._ended()  # reaps an earlier server
        self._log_start = self._directory.log_size()
        os.set_inheritable(lock, True)
        # posix_spawn, not subprocess.Popen, because the server may outlive this process; with a session of its own,
        # because Ctrl-C in the terminal is for the service, which still needs Redis to drain.
        self._process = os.posix_spawn(binary.path, command, os.environ, file_actions=SILENCE, setsid=True)

    def _wait_until_it_answers(self) -> None:
        # The lock is checked before the socket: a copied data directory names the socket of the original's server.
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
        """Return whether the server answers; if so, record its release as the one that wrote the data.

        A server that loads its data answers this too, and refuses everything else until it has loaded them.
        """
        found = self._info(ANSWER_S)
        if found is None:
            return False
        self._directory.set_written_by(_release(found))
        if found["loading"] and self._loading_since_s is None:
            self._loading_since_s = time.monotonic()
            self._say("Redis is loading its data")
        return True

    def _note_loaded(self) -> None:
        """Say how long the server has loaded its data, once it has."""
        since_s = self._loading_since_s
        if since_s is not None and (found := self._info(LOOK_S)) and not found["loading"]:
            self._loading_since_s = None
            self._say(f"Redis has loaded its data in {time.monotonic() - since_s:.1f} s")

    def _info(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the facts of the server, None if it does not answer."""
        try:
            with self._client(timeout_s) as client:
                return dict(client.info())
        except (redis.ConnectionError, redis.TimeoutError):
            return None

    def _client(self, timeout_s: float = ANSWER_S) -> "redis.Redis":
        socket = str(self._directory.socket())
        return redis.Redis(
            unix_socket_path=socket, decode_responses=True, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def _ended(self) -> bool:
        """Return whether a server that this process started has ended since the last call."""
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
        """Stop the server and wait until it has released its lock."""
        with suppress(redis.ConnectionError, redis.TimeoutError), self._client() as client:
            client.shutdown(nosave=True)  # the append-only file is complete, so no snapshot is needed
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
    """Return the last three warnings of a log that are not among the usual ones."""
    lines = [line.partition(" # ")[2].strip() for line in log.splitlines()]
    return [line for line in lines if line and not _USUAL.search(line)][-3:]


_USUAL = re.compile(
    r"is starting|[Vv]ersion=|^Configuration loaded|^Server initialized|^WARNING|^User requested shutdown"
    r"|bye bye|^Redis is now ready"
)
"""Warnings of every server, which are no reason for its end."""


def _release(found: dict[str, Any]) -> Release:
    kind = found.get("server_name", "redis")
    release = Release.parse(f"{kind} {found[f'{kind}_version']}")
    assert release, found
    return release
