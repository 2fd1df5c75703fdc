"""Service, proxy and client are killed in turn while clients stream; then every step is looked for.

python -m tests.clients.python.kills --kills 1000
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cellar.embedded.binary import find_binaries
from tests.clients.python.kill_target import STOP, reading
from tests.clients.python.proxy import Proxy
from tests.faults import ground as standing
from tests.faults.cell import State, replay
from tests.faults.ground import Ground, ground

WAYS = ("stream", "async", "step")
"""How clients send, each with a session of its own."""

CHANCES = 0.02, 0.01
"""Of a fault of a request before the service, and before Redis: lost and doubled requests, and lost replies."""

PROGRESS = 5
"""Answers of every client between two kills."""

PATIENCE_S = 120.0
"""How long that may take: a service that was killed starts within seconds."""


@dataclass
class Target:
    """A client process, which is started again after each kill."""

    way: str
    session: str
    url: str
    folder: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "tests.clients.python.kill_target"]
        arguments = [self.url, self.session, str(self.folder), self.way]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = await asyncio.create_subprocess_exec(*command, *arguments, env=environment)

    async def kill(self) -> None:
        """Kill the process and start it again."""
        assert self.process is not None
        assert self.process.returncode is None, f"the client `{self.way}` has ended: {self.process.returncode}"
        self.process.kill()
        await self.process.wait()
        await self.start()

    async def stop(self) -> None:
        """Let it send no new readings, and wait until all are answered."""
        assert self.process is not None
        (self.folder / STOP).touch()
        assert await asyncio.wait_for(self.process.wait(), PATIENCE_S) == 0

    def answers(self) -> list[tuple[int, int, int | None]]:
        """Return number, step and output of each answer that was noted."""
        path = self.folder / "answers"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass
class Result:
    """What was found."""

    kills: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    answers: int = 0
    repeated: int = 0
    """Answers that were noted again after a kill of the client, because the first noting was not known."""
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Answers or states that are not those of a replay."""

    def lines(self) -> Iterator[str]:
        """Yield what a person wants to know."""
        yield ", ".join(f"{count} kills of {what}" for what, count in sorted(self.kills.items()))
        yield f"{self.steps} steps in the sessions, {self.answers} answers, {self.repeated} of them noted twice"
        yield f"{self.lost} lost, {self.doubled} doubled, {self.wrong} not equal to a replay"


async def run(kills: int, kernels: Path, binary: Path, seed: str = "kills") -> Result:
    """Kill in turn, and return what was found at the end."""
    result = Result()
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(ground(binary, kernels, seed, CHANCES))
        targets = await stack.enter_async_context(_targets(there))
        proxy = targets[0][1]
        there.set_calm(False)
        for number, what in zip(range(kills), itertools.cycle(("service", "proxy", "client")), strict=False):
            await _progress([target for target, _ in targets])
            result.kills[what] += 1
            if what == "service":
                await asyncio.to_thread(there.kill_service, 0)
            elif what == "proxy":
                proxy.kill()
                await asyncio.sleep(0.1)
                await proxy.start()
            else:
                await targets[number // 3 % len(targets)][0].kill()
        await _progress([target for target, _ in targets])
        there.set_calm(True)
        for target, _ in targets:
            await target.stop()
            await _judge(there, target, result)
    return result


@asynccontextmanager
async def _targets(there: Ground) -> AsyncIterator[list[tuple[Target, Proxy]]]:
    """Run a client of each kind, all through one proxy, in front of the hop of the first service."""
    proxy = Proxy(there.fronts[0].url)
    await proxy.start()
    with tempfile.TemporaryDirectory(prefix="cellar-kills-", dir="/tmp") as folder:
        targets = []
        for way in WAYS:
            session = await standing.begin(there.replicas[0].url)
            target = Target(way, session, proxy.url, Path(folder) / way)
            target.folder.mkdir()
            await target.start()
            targets.append((target, proxy))
        try:
            yield targets
        finally:
            for target, _ in targets:
                if target.process is not None and target.process.returncode is None:
                    target.process.kill()
                    await target.process.wait()
            proxy.kill()


async def _progress(targets: list[Target]) -> None:
    """Wait until every client has noted some more answers."""
    before = [len(target.answers()) for target in targets]
    deadline = time.monotonic() + PATIENCE_S
    while any(len(target.answers()) < count + PROGRESS for target, count in zip(targets, before, strict=True)):
        assert time.monotonic() < deadline, [(each.way, len(each.answers())) for each in targets]
        await asyncio.sleep(0.05)


async def _judge(there: Ground, target: Target, result: Result) -> None:
    """Compare the log and the state of a session, and the answers of its client, with the readings in order."""
    logged = [value for entry in there.read_log(target.session) for value in entry.values]
    expected = [reading(number) for number in range(1, len(logged) + 1)]
    *_, last = State(), *replay(logged)
    async with httpx.AsyncClient(timeout=standing.COMPILED_S) as client:
        state = await standing.read_state(client, there.replicas[0].url, target.session)
    outputs = [each.a for each in replay(logged)]
    answers = target.answers()
    numbers = Counter(number for number, _, _ in answers)
    result.steps += len(logged)
    result.answers += len(answers)
    result.repeated += sum(count - 1 for count in numbers.values())
    result.lost += len(set(range(1, max(numbers) + 1)) - numbers.keys()) + max(0, max(numbers) - len(logged))
    result.doubled += max(0, len(logged) - max(numbers)) + sum(a != b for a, b in zip(logged, expected, strict=True))
    result.wrong += state != last
    for number, step, output in answers:
        result.wrong += number > len(outputs) or (
            output is not None and (step, output) != (number, outputs[number - 1])
        )


def main() -> None:
    """Run it, and print the counts. The exit code is 1 if anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", default="kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as kernels:
        result = asyncio.run(run(options.kills, Path(kernels), list(find_binaries())[-1].path, options.seed))
    print(*result.lines(), sep="\n")
    sys.exit(result.lost + result.doubled + result.wrong > 0)


if __name__ == "__main__":
    main()
