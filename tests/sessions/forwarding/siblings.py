"""Services that are siblings: each has a slot with a Unix socket, and forwards steps to the others."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cellar.ports import SessionKey
from cellar.ports.peers import Peers
from cellar.sessions.forwarding.forwarding import Forwarding
from cellar.sessions.forwarding.ownership import bucket_of, owners_of
from tests.sessions.conftest import Service, StartService
from tests.sessions.session_calls import until


@dataclass
class Sibling:
    """A service with its slot."""

    service: Service
    peers: Peers
    forwarding: Forwarding

    @property
    def owners(self) -> set[int]:
        """The slots that are known to take steps, and its own."""
        taking = {slot for slot, owner in self.forwarding._owners.items() if owner.is_taking}
        return taking | {self.peers.own}

    def knows(self, slots: set[int]) -> bool:
        """Return whether it would forward to all of these slots, and to no others."""
        return self.owners & self.peers.living == slots


def listeners(directory: Path, count: int) -> tuple[list[str], list[socket.socket]]:
    """Return the paths of so many slots, and their sockets."""
    paths = [str(directory / f"{slot}.sock") for slot in range(count)]
    found = []
    for path in paths:
        found.append(socket.socket(socket.AF_UNIX))
        found[-1].bind(path)
        found[-1].listen()
    return paths, found


async def joined(services: Sequence[Service], directory: Path) -> list[Sibling]:
    """Make siblings of services, and wait until all know each other."""
    paths, sockets = listeners(directory, len(services))
    everyone = dict.fromkeys(range(len(services)), 1)
    found = []
    for own, service in enumerate(services):
        peers = Peers(own, sockets[own], paths)
        forwarding = Forwarding(service.sessions.steps, peers)
        service.sessions.steps = forwarding.steps
        await forwarding.start()
        peers.update(everyone)
        found.append(Sibling(service, peers, forwarding))
    await until(lambda: all(each.knows(set(everyone)) for each in found))
    return found


def owner_of(key: SessionKey, count: int) -> int:
    """Return the slot that owns a session if so many live."""
    return owners_of(tuple(map(str, range(count))))[bucket_of(key.session)]


def name_owned_by(slot: int, count: int, beginning: str = "s") -> str:
    """Return a name of a session that a slot owns if so many live."""
    names = (f"{beginning}-{index}" for index in range(1000))
    return next(name for name in names if owner_of(SessionKey("default", name), count) == slot)


@asynccontextmanager
async def forwarding_all(
    start: StartService, url: str, directory: Path, models: object | None = None
) -> AsyncIterator[Service]:
    """Start a service that forwards all its steps to a sibling with the same networks."""
    owner = start(url, models=models)
    origin = start(url, models=owner.models)
    siblings = await joined([owner, origin], directory)
    siblings[1].peers.update({0: 1})
    yield origin
    for each in reversed(siblings):
        await each.forwarding.leave(1.0)
        await each.forwarding.aclose()
    assert not siblings[1].forwarding.steps._in_flight
