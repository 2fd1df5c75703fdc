"""The lines that `cellar serve` prints: the address of the service, that it is ready, and how durable its Redis is."""

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cellar import __version__

DURABILITY = {
    "always": "each acknowledged step is on its disk (append-only file, fsync always)",
    "everysec": "a crash of its machine may lose the last second (append-only file, fsync every second)",
    "no": "a crash of its machine may lose what the operating system had not written yet (append-only file, no fsync)",
    "none": "a crash loses everything since its last snapshot (no append-only file)",
    "unknown": "its durability cannot be read",
}
"""The values of `durability` of the store in words."""


class Announcement:
    """Prints once that the service is not ready yet, if that is so, and once that it is."""

    def __init__(
        self, listener: socket.socket, processes: int, say: Callable[[str], None], *, tls: bool = False
    ) -> None:
        self._url = url_of(listener, tls=tls)
        self._processes = processes
        self._say = say
        self._said_waiting = self._said_ready = False

    def waiting(self, detail: str) -> None:
        """Say that the service listens but cannot serve, and why."""
        if not self._said_waiting and not self._said_ready:
            self._said_waiting = True
            self._say(f"Cellar {__version__} listens at {self._url} but is not ready: {detail}")

    def ready(self, store: Mapping[str, Any]) -> None:
        """Say that all processes are ready; `store` is what one of them knows about it."""
        if not self._said_ready:
            self._said_ready = True
            for line in ready_lines(self._url, self._processes, store):
                self._say(line)


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL of a service that listens on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def ready_lines(url: str, processes: int, store: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of a service that is ready."""
    many = "" if processes == 1 else f" with {processes} processes"
    yield f"Cellar {__version__} is ready at {url}{many} (API: /docs)"
    yield f"  Redis {store['redis_version']}: {DURABILITY[store['durability']]}"
    if store["replicas"]:
        yield "  A replica that takes over may lack the last acknowledged steps: Redis replicates after it has answered"
