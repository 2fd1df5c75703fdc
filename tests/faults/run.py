"""A run: clients write one session through hops where everything goes wrong that a seed says, and then it is checked.

python -m tests.faults.run --seed 1 --steps 10000
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import uvloop

from cellar.embedded.binary import find_binaries
from cellar.sessions.forwarding.owner_connection import CHECK_S, PATIENCE
from tests.faults import ground as standing
from tests.faults.checker import Evidence, check
from tests.faults.ground import Ground
from tests.faults.wires import Wires
from tests.faults.writers import (
    GIVE_UP_S,
    IMPATIENCE_S,
    OWN,
    Book,
    Client,
    Supply,
    write_alone,
    write_appending,
    write_keyed,
    write_numbered,
)


@dataclass(frozen=True)
class Plan:
    """What a run is to do; all that is drawn is drawn from the seed."""

    seed: int = 1
    steps: int = 10_000
    numbered: int = 64
    """Clients who number their requests: as many as a session knows."""
    keyed: int = 8
    """Clients who send an Idempotency-Key."""
    appending: int = 8
    """Clients who say nothing of who they are. They reach the services without a hop: there they could be doubled."""
    alone: float = 0.05
    """The part of the steps that one client writes by position or step, before all others, and again after them."""
    kills: int = 6
    """Of a process and of Redis in turn; with several processes, a rolling restart follows each."""
    processes: int = 1
    """Of each service."""
    stops: int = 0
    """Of a process of the first service, for longer than the other one waits for steps that it has forwarded there."""
    chances: tuple[float, float] = (0.2, 0.06)
    """Of a fault, for a request before a service, and for one of its writes before Redis: that holds up everybody."""


@dataclass(frozen=True)
class Outcome:
    """What was written, and what happened to it."""

    evidence: Evidence
    book: Book
    faults: Counter[str]
    kills: Counter[str]
    lasted_s: float

    def lines(self) -> Iterator[str]:
        """Yield what a person wants to know."""
        yield f"{self.book.steps} steps acknowledged, {self.evidence.position.split('.')[1]} in the session"
        for counts in (self.book.counts, self.faults, self.kills):
            yield from (f"{count:6} {what}" for what, count in sorted(counts.items()))
        yield f"{self.lasted_s:6.1f} s"


async def carry_out(plan: Plan, ground: Ground, client_type: type[Client] = Client) -> Outcome:
    """Carry out a plan with a new session, and return what there is to check. `client_type` is how clients send."""
    began_s, book, kills = time.monotonic(), Book(), Counter[str]()
    async with AsyncExitStack() as stack:
        session = await standing.begin(ground.replicas[0].url)
        meet = Meeting(plan, ground, session, book, stack, client_type)
        ground.set_calm(False)
        killing = asyncio.gather(_kill(plan, ground, book, kills), _stop(plan, ground, book, kills))
        alone = int(plan.steps * plan.alone)
        try:
            await write_alone(await meet.client("first"), Supply(alone))
            await _write_together(plan, meet, Supply(plan.steps - 2 * alone))
            await write_alone(await meet.client("last"), Supply(alone))
            await killing
        finally:
            killing.cancel()
            ground.set_calm(True)
        judge = await meet.client("judge", hop=False)
        state = await standing.read_state(judge.wires.http, judge.places[0], session)
        found = Evidence(
            book.told, book.applied, book.doubtful, ground.read_log(session), await judge.position(), state
        )
    return Outcome(found, book, _faults(ground), kills, time.monotonic() - began_s)


@dataclass
class Meeting:
    """Where the clients of a session come from."""

    plan: Plan
    ground: Ground
    session: str
    book: Book
    stack: AsyncExitStack
    client_type: type[Client]

    async def client(self, name: str, *, hop: bool = True) -> Client:
        """Return a client who goes through the hops, or to the services themselves."""
        places = [front.url for front in self.ground.fronts] if hop else [each.url for each in self.ground.replicas]
        wires = await self.stack.enter_async_context(Wires(self.session, IMPATIENCE_S if hop else GIVE_UP_S))
        return self.client_type(name, places, wires, Random(f"{self.plan.seed} {name}"), self.book)


async def _write_together(plan: Plan, meet: Meeting, supply: Supply) -> None:
    async with asyncio.TaskGroup() as clients:
        for number in range(plan.numbered):
            clients.create_task(write_numbered(await meet.client(f"numbered-{number}"), supply))
        for number in range(plan.keyed):
            clients.create_task(write_keyed(await meet.client(f"keyed-{number}"), supply))
        for number in range(plan.appending):
            client = await meet.client(f"appending-{number}", hop=False)
            clients.create_task(write_appending(client, supply, OWN + number))


async def _kill(plan: Plan, ground: Ground, book: Book, kills: Counter[str]) -> None:
    """Kill a process of the services in turn, and Redis after each, at even distances on the way."""
    for number in range(plan.kills):
        await book.reached(plan.steps * (number + 1) // (plan.kills + 1))
        service = number // 2 % len(ground.replicas)
        if number % 2:
            await asyncio.to_thread(ground.kill_redis)
            kills["kills of Redis"] += 1
        else:
            await asyncio.to_thread(ground.kill_service, service)
            kills["kills of a service"] += 1
        if plan.processes > 1:
            await book.reached(plan.steps * (2 * number + 3) // (2 * plan.kills + 2))
            ground.restart_service(service)
            kills["rolling restarts"] += 1


STOPPED_S = CHECK_S * (PATIENCE + 2)
"""The other process gives up meanwhile, and what the stopped one goes on with afterwards comes too late."""


async def _stop(plan: Plan, ground: Ground, book: Book, kills: Counter[str]) -> None:
    """Stop a process at even distances on the way."""
    for number in range(plan.stops):
        await book.reached(plan.steps * (2 * number + 1) // (2 * plan.stops + 1))
        await ground.stop_process(0, STOPPED_S)
        kills["stops of a process"] += 1


def _faults(ground: Ground) -> Counter[str]:
    found: Counter[str] = Counter()
    for hops, where in ((ground.fronts, "before the services"), (ground.backs, "before Redis")):
        for hop in hops:
            found.update({f"{fault.value} {where}": count for fault, count in hop.schedule.counts.items()})
    return found


async def _run(plan: Plan, kernels: Path, window: int) -> Outcome:
    binary = list(find_binaries())[-1].path
    seed, processes = str(plan.seed), plan.processes
    async with standing.ground(binary, kernels, seed, plan.chances, window=window, processes=processes) as ground:
        return await carry_out(plan, ground)


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out and check one plan after the other, and say what happened."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=plan.seed, help="what everything that is drawn is drawn from")
    parser.add_argument("--runs", type=int, default=1, help="how many, each with the next seed")
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--kernels", type=Path, default=Path(".pytest_cache/d/kernels"), help="compiled kernels")
    parser.add_argument("--processes", type=int, default=plan.processes, help="of each service; several are restarted")
    parser.add_argument("--stops", type=int, default=plan.stops, help="of one of several processes, for six seconds")
    parser.add_argument("--window", type=int, default=standing.WINDOW, help="requests that can be replayed")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.runs):
        print(f"seed {seed}", flush=True)
        chosen = replace(plan, seed=seed, steps=options.steps, processes=options.processes, stops=options.stops)
        outcome = uvloop.run(_run(chosen, options.kernels.absolute(), options.window))
        print(*outcome.lines(), sep="\n", flush=True)
        check(outcome.evidence)
        print("every acknowledged step is there once, in order, with the bits of a replay", flush=True)


if __name__ == "__main__":
    main()
