"""The api processes of one service, as each of them sees the others."""

import socket
from collections.abc import Callable, Mapping, Sequence


class Peers:
    """The slots of a service with several api processes, and which of them have a process that is ready.

    Slots are numbered from 0. A slot keeps its number and its sockets when its process is replaced. During a rolling
    restart, two processes have the same slot for a moment.
    """

    def __init__(self, own: int, listener: socket.socket, paths: Sequence[str]) -> None:
        """`paths` are those of the Unix sockets of all slots; `listener` listens on that of this process."""
        self.own = own
        """The slot of this process."""
        self.listener = listener
        self.paths = tuple(paths)
        self.processes: Mapping[int, int] = {}
        """The id of the process in each living slot; it changes when the process is replaced."""
        self.living: frozenset[int] = frozenset()
        """The slots whose process is ready."""
        self._watching: list[Callable[[], object]] = []
        self._draining: list[Callable[[], object]] = []

    @property
    def is_first(self) -> bool:
        """Whether this process does what one process of the service does for all: the first living slot."""
        return self.own == min(self.living, default=self.own)

    def watch(self, call: Callable[[], object]) -> None:
        """Call `call` on the event loop each time `processes` has changed."""
        self._watching.append(call)

    def on_drain(self, call: Callable[[], object]) -> None:
        """Call `call` on the event loop when this process begins to stop and must accept nothing more."""
        self._draining.append(call)

    def update(self, processes: Mapping[int, int]) -> None:
        """Note which slots live now."""
        if processes != self.processes:
            self.processes, self.living = processes, frozenset(processes)
            for call in self._watching:
                call()

    def drain(self) -> None:
        """Note that this process begins to stop."""
        for call in self._draining:
            call()
