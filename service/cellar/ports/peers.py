"""The api processes of one service, as each of them sees the others."""

import socket
from collections.abc import Callable, Mapping, Sequence


class Peers:
    """The slots of a service with several api processes, and which of them have a process that is ready.

    Slots are numbered from 0. A slot keeps its number and its sockets when its process is replaced. During a rolling
    restart, two processes have the same slot for a moment.
    """

    def __init__(self, slot: int, listener: socket.socket, addresses: Sequence[str]) -> None:
        """`addresses` are the paths of the Unix sockets of all slots; `listener` listens on that of this `slot`."""
        self.slot = slot
        self.count = len(addresses)
        self.listener = listener
        self.addresses = tuple(addresses)
        self.living: Mapping[int, int] = {}
        """The slots whose process is ready, with the id of that process; it changes when a process is replaced."""
        self._change: list[Callable[[], None]] = []
        self._drain: list[Callable[[], None]] = []

    @property
    def is_first(self) -> bool:
        """Whether this process does what one process of the service does for all: the first living slot."""
        return self.slot == min(self.living, default=self.slot)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop each time `living` has changed."""
        self._change.append(callback)

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop when this process begins to stop and must accept nothing more."""
        self._drain.append(callback)

    def update(self, living: Mapping[int, int]) -> None:
        """Take over which slots live."""
        if living != self.living:
            self.living = living
            for callback in self._change:
                callback()

    def drain(self) -> None:
        """Note that this process begins to stop."""
        for callback in self._drain:
            callback()
