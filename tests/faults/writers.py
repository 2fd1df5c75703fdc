"""Clients that write one session at once, and repeat what was not answered (docs/sessions-and-retries.md)."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httpx

from tests.faults import transports
from tests.faults.asked import Asked, Lost, Refused, Told
from tests.faults.cell import LARGEST
from tests.faults.wires import Wires

STUCK = 5
"""What a sensor that is stuck reads: half of what most writers write, so that equal inputs are common."""

OWN = 512
"""Inputs from here on belong to one of those who append, each its own: no other step can be taken for theirs."""

PAUSE_S = 0.05
"""What a client waits before it asks again a service that said 503. Retry-After counts in whole seconds."""

IMPATIENCE_S = 1.5
"""How long a client waits that may ask elsewhere. It says so: a service that went on working for those who have gone
would keep those who come waiting until they go, too. Still, what it asked may be carried out long after: a service that
was killed leaves what came for it to the next one."""

GIVE_UP_S = 60.0
"""For how long a client insists. Nothing is away for so long: a run that gets here has found a fault."""


@dataclass
class Book:
    """What clients were told, and what they could not learn."""

    told: list[tuple[str, Asked, Told]] = field(default_factory=list)
    """Who was told what; each client's in the order of its requests."""
    applied: list[Asked] = field(default_factory=list)
    """Requests of which a writer was told that they came before, too long ago for their answers to be repeated: a
    session keeps the last one of each writer, and of those before what the ring still holds."""
    doubtful: list[Asked] = field(default_factory=list)
    """Requests without identity whose answers were lost. They are not sent again: they are there once or never."""
    counts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    """That were acknowledged."""
    _awaited: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    def note(self, client: str, asked: Asked, told: Told) -> None:
        """Note an acknowledgement."""
        self.told.append((client, asked, told))
        self.counts["requests"] += 1
        self.counts["replays answered"] += told.replayed
        self._count(asked)

    def note_applied(self, asked: Asked) -> None:
        """Note that a request was applied, and that its answer will never be known."""
        self.applied.append(asked)
        self.counts["applied, but too long ago for a replay"] += 1
        self._count(asked)

    def _count(self, asked: Asked) -> None:
        self.steps += len(asked.values)
        for steps, reached in self._awaited:
            if self.steps >= steps:
                reached.set()

    def doubt(self, asked: Asked) -> None:
        """Note a request whose outcome is unknown."""
        self.doubtful.append(asked)
        self.counts["appends without an answer"] += 1

    async def reached(self, steps: int) -> None:
        """Wait until so many steps were acknowledged."""
        reached = asyncio.Event()
        if self.steps < steps:
            self._awaited.append((steps, reached))
            await reached.wait()


@dataclass
class Client:
    """A client of one session: who it is, where it may ask, and how it insists."""

    name: str
    places: Sequence[str]
    """The URLs of what answers for the services."""
    wires: Wires
    rng: Random
    book: Book

    ways: Sequence[transports.Transport] = transports.ALL

    async def try_once(self, asked: Sequence[Asked]) -> transports.Answers:
        """Ask anywhere, any way, for as many of these as go together, in order. Raise Lost."""
        way, place = self.rng.choice(self.ways), self.rng.choice(self.places)
        self.book.counts[f"tries by {way.ask.__name__}"] += 1
        together = asked[: way.most]
        told = await way.ask(self.wires, place, together)
        assert len(told) == len(together), (told, together)
        return told

    async def insist(self, *asked: Asked) -> None:
        """Send these again until all are answered, each time another way. Raise Refused for a definite no."""
        left = list(asked)
        async with asyncio.timeout(GIVE_UP_S):
            while left:
                try:
                    for told in await self.try_once(left):
                        self._note(left[0], _good(told))
                        del left[0]
                except Lost as lost:
                    self.book.counts[f"retries after {'a timeout' if lost.late else 'a lost connection'}"] += 1
                except Refused as no:  # of the first that is not answered: those behind it depend on it
                    if no.type == "replay_expired" and left[0].writer is not None:
                        self.book.note_applied(left.pop(0))
                    else:
                        await self._wait_after(no)

    async def append(self, asked: Asked) -> None:
        """Send a request that nothing tells from others, again only where it is known that it was not applied."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                try:
                    [told] = await self.try_once([asked])
                    return self._note(asked, _good(told))
                except Lost as lost:
                    if lost.sent:
                        return self.book.doubt(asked)
                    await asyncio.sleep(PAUSE_S)
                except Refused as no:
                    if no.outcome == "unknown":
                        return self.book.doubt(asked)
                    await self._wait_after(no)

    async def position(self) -> str:
        """Return where the session stands, as soon as anybody says it."""
        async with asyncio.timeout(GIVE_UP_S):
            for place in itertools.cycle(self.places):
                with suppress(httpx.HTTPError):
                    found = await self.wires.http.get(f"{place}/v1/sessions/{self.wires.session}")
                    return str(found.raise_for_status().json()["position"])
        raise AssertionError("a cycle ends")

    async def _wait_after(self, no: Refused) -> None:
        if no.status not in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT):
            raise no
        self.book.counts[f"retries after {no.type}, {no.outcome}"] += 1
        await asyncio.sleep(PAUSE_S)

    def _note(self, asked: Asked, told: Told) -> None:
        self.book.note(self.name, asked, told)


def _good(told: Told | Refused) -> Told:
    if isinstance(told, Refused):
        raise told
    return told


@dataclass
class Supply:
    """Steps that are left to be written."""

    left: int

    def take(self, rng: Random, most: int = 4, single: float = 0.75) -> int:
        """Take a step, or a few for a sequence; 0 if there are none left."""
        count = min(self.left, 1 if rng.random() < single else rng.randrange(2, most + 1))
        self.left -= count
        return count


def readings(client: Client, supply: Supply, most: int = 4, single: float = 0.75) -> Iterator[tuple[int, ...]]:
    """Yield the inputs of one request after the other: the stuck sensor's as often as any other."""
    while count := supply.take(client.rng, most, single):
        yield tuple(STUCK if client.rng.random() < 0.5 else client.rng.randrange(OWN) for _ in range(count))


async def write_numbered(client: Client, supply: Supply) -> None:
    """Write as a writer who numbers its requests, some of them before those in front are answered."""
    seq, more = itertools.count(1), readings(client, supply)
    while several := list(itertools.islice(more, client.rng.randrange(1, 5))):
        numbered = [Asked(values, len(values) > 1, writer=client.name, seq=next(seq)) for values in several]
        await client.insist(*numbered)


async def write_keyed(client: Client, supply: Supply) -> None:
    """Write with an Idempotency-Key for each request."""
    for number, values in enumerate(readings(client, supply), 1):
        await client.insist(Asked(values, len(values) > 1, key=f"{client.name} {number}"))


async def write_appending(client: Client, supply: Supply, own: int) -> None:
    """Write with nothing to tell one request from the other, and always the same."""
    assert OWN <= own <= LARGEST
    while count := supply.take(client.rng):
        await client.append(Asked((own,) * count, count > 1))


async def write_alone(client: Client, supply: Supply) -> None:
    """Write as the only one, by the position or by the step of the last answer; several steps also one by one."""
    position = await client.position()
    client.ways = (*transports.ALL, *3 * (transports.BURST,))
    for values in readings(client, supply, transports.BURST.most, single=0.25):
        step = int(position.split(".")[1])
        if client.rng.random() < 0.5:
            asked = [Asked((value,), step=number) for number, value in enumerate(values, step)]
        elif client.rng.random() < 0.5:
            asked = [Asked(values, len(values) > 1, position=position)]
        else:
            asked = [Asked(values, len(values) > 1, step=step)]
        await client.insist(*asked)
        position = client.book.told[-1][2].position
