"""The place of an api process in its service, an argument of its command."""

import json
import socket
from dataclasses import asdict, dataclass
from typing import Self

from cellar.embedded.control import ControlChannel
from cellar.errors import StartupError
from cellar.metrics.shared_page import SharedPage


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an api process among those of its service. Numbers of sockets are inherited descriptors."""

    parent: int
    """Process id of the parent."""
    slot: int
    """Number of this process, from 0."""
    slots: int
    """How many there are."""
    listeners: list[int]
    """The listening TCP sockets of all slots; a single one if they share it."""
    control: int
    """This end of the control channel."""
    peer_listener: int | None = None
    """The listening Unix socket of this slot; None if there is one slot."""
    peers: list[str] | None = None
    """The paths of the Unix sockets of all slots."""
    page: int | None = None
    """The memory that processes share for their metrics; None without one."""
    region: int = 0
    """The region of this process in it."""

    @property
    def descriptors(self) -> list[int]:
        """Return the descriptors to inherit."""
        optional = [each for each in (self.peer_listener, self.page) if each is not None]
        return [*self.listeners, self.control, *optional]

    def to_argument(self) -> str:
        """Return the argument of the command `api`."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of(cls, argument: str) -> Self:
        """Return the place of an argument. Raise StartupError for any other text."""
        try:
            return cls(**json.loads(argument))
        except (ValueError, TypeError) as error:
            raise StartupError("`cellar api` is started by `cellar serve` only") from error

    def open_channel(self) -> ControlChannel:
        """Return the control channel."""
        return ControlChannel(socket.socket(fileno=self.control))

    def open_listeners(self) -> list[socket.socket]:
        """Return the listening TCP sockets of all slots, or the one that they share."""
        return [socket.socket(fileno=descriptor) for descriptor in self.listeners]

    def open_peer_listener(self) -> socket.socket | None:
        """Return the listening Unix socket of this slot, None if there is one slot."""
        return None if self.peer_listener is None else socket.socket(fileno=self.peer_listener)

    def open_page(self) -> SharedPage | None:
        """Return the memory that processes share for their metrics, None without one."""
        return None if self.page is None else SharedPage(self.page)
