"""Measures how much the service still answers when it is overloaded: `python -m benchmarks.overload`.

Two models, whose steps take about 20 us and about 10 ms on this machine (found by measuring), are served by `cellar
serve` with a Redis. First the capacity is measured: clients send a step when the previous one is answered. Then clients
send three and ten times as many requests a second at a constant rate, wait for a second, and send this limit in
`Cellar-Timeout-Ms`. Goodput is the number of steps answered in time. The service has one core; the load and Redis have
the other one, so that the load takes no time from the service. On a machine with other programs, the second ratio
counts: good answers for each second of CPU time of the service. `sent` is the share of the load that was sent: if all
connections wait for an answer, or the core is full, a request is not sent.

`tenants`: two tenants send three and ten times their quota of steps; a third one keeps within its own. `held`: 5,000
idle WebSockets and 1,000 bodies of a byte a second. Each figure with a bar is a line: name, figure, bar, `ok` or
`short`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean

import numpy as np

from benchmarks.cases import Case
from benchmarks.ours import kernel_cache, network_spec
from benchmarks.overloading import held, tenants
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.cores import Cores, choose
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.rounds import busy_s
from benchmarks.serving.surge import Outcome, Surge, run_all
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network

IN_SIZE = 8
LIGHT_S, HEAVY_S = 20e-6, 10e-3
LIGHT_SIZES, HEAVY_SIZES = (192, 256, 320, 384, 448, 512), (1024, 1280, 1536, 1792, 2032)
CLIENTS, CONNECTIONS = 256, 2048
"""Connections of the closed loop and of the open loop. Both step as many sessions as the latter."""
DEADLINE_S, WARM_S = 1.0, 2.0
TIMES = (3, 10)
GOODPUT = 0.85
OTHERS = {"tenants": tenants.bars, "held": held.bars}
OTHERS_HIDDEN = 64
CASES = ("light", "heavy", "mixture", *OTHERS)


@dataclass(frozen=True, slots=True)
class Model:
    """A model under load."""

    name: str
    hidden: int
    step_s: float


def step_s(hidden: int) -> float:
    """Return the time of the kernel of a step of one row."""
    network = Network(network_spec(_case(hidden)))
    bound = CompiledNetwork(network, kernel_cache()).bind(network.init(0))
    inputs, state = np.ones((1, 1, IN_SIZE), np.float32), bound.initial_state(1)
    times: list[float] = []
    until_s = time.perf_counter() + 0.2
    while len(times) < 10 or time.perf_counter() < until_s:
        began_s = time.perf_counter()
        bound.run(inputs, state)
        times.append(time.perf_counter() - began_s)
    return float(np.median(times))


def calibrated(name: str, sizes: Sequence[int], wanted_s: float) -> Model:
    """Return the model whose step takes nearest to a given time."""
    found = [Model(name, hidden, step_s(hidden)) for hidden in sizes]
    return min(found, key=lambda model: abs(np.log(model.step_s / wanted_s)))


def _case(hidden: int) -> Case:
    return Case("lstm", IN_SIZE, hidden, 1, 1, head=True)


def requests(cellar: Contestant, model: Model, count: int) -> tuple[bytes, ...]:
    """Return a request for each session."""
    body = json.dumps({"input": [0.1] * IN_SIZE}).encode()
    timeout = f"Cellar-Timeout-Ms: {DEADLINE_S * 1000:.0f}\r\n"
    rest = f"Content-Type: application/json\r\n{timeout}Content-Length: {len(body)}\r\n\r\n".encode() + body
    paths = [cellar.path(f"{model.name}-{number}") for number in range(count)]
    return tuple(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{cellar.port}\r\n".encode() + rest for path in paths)


class Bench:
    """The service under load, and the processes whose CPU time is measured."""

    def __init__(self, cellar: Contestant, cores: Cores, seconds: float) -> None:
        self._cellar = cellar
        self._cores = cores
        self._seconds = seconds

    def capacity(self, models: Sequence[Model]) -> list[Outcome]:
        """Run the closed loop for all models at once; print and return the result of each model."""
        found = self._run(models, [0.0] * len(models))
        for model, outcome in zip(models, found, strict=True):
            print(f"{_names(models):12} {model.name:6} capacity {outcome.goodput:.0f}/s", flush=True)
        return found

    def overload(self, models: Sequence[Model], capacity: Sequence[Outcome], times: int) -> list[Outcome]:
        """Run the open loop with `times` the capacity; print and return the result of each model."""
        found = self._run(models, [times * each.goodput for each in capacity])
        for model, outcome in zip(models, found, strict=True):
            sent = 1 - (outcome.answers["unsent"] + outcome.answers["delayed"]) / max(1, outcome.due)
            due = f"sent {sent:4.0%} of {outcome.due / outcome.seconds:.0f}/s"
            print(f"{_names(models):12} {model.name:6} {times:2}x {due}, {dict(outcome.answers)}", flush=True)
        return found

    def report(
        self,
        models: Sequence[Model],
        overloads: Sequence[Sequence[Outcome]],
        before: Sequence[Outcome],
        after: Sequence[Outcome],
    ) -> None:
        """Print the ratios to the capacity, which is the mean of those before and after the overload."""
        for times, found in zip(TIMES, overloads, strict=True):
            walls, works = [], []
            for outcome, *most in zip(found, before, after, strict=True):
                walls.append(outcome.goodput / mean(each.goodput for each in most))
                works.append(outcome.of_a_core / mean(each.of_a_core for each in most))
            of_each = ", ".join(f"{model.name} {wall:.2f}" for model, wall in zip(models, walls, strict=True))
            print(
                f"=> {_names(models):12} {times:2}x goodput/capacity {mean(walls):.2f} ({of_each}),"
                f" by the service's time {mean(works):.2f}",
                flush=True,
            )
            print(Bar(f"goodput.{_names(models)}.{times}_times", mean(walls), GOODPUT).line(), flush=True)

    def _run(self, models: Sequence[Model], rates: Sequence[float]) -> list[Outcome]:
        before, began_s = busy_s(self._cores), time.perf_counter()
        pids = tuple(self._cellar.process.family())
        surges = [
            Surge(
                self._cellar.port,
                requests(self._cellar, model, CONNECTIONS),
                CONNECTIONS if rate else CLIENTS,
                self._seconds,
                WARM_S,
                rate,
                DEADLINE_S,
                pids,
            )
            for model, rate in zip(models, rates, strict=True)
        ]
        found = run_all(surges, self._cores.outside)
        wall_s = 2 * (time.perf_counter() - began_s)
        busy, stolen = (late - early for early, late in zip(before, busy_s(self._cores), strict=True))
        used = found[0].service_s / self._seconds
        print(f"  service {used:.0%} of its core; both cores {busy / wall_s:.0%} busy, {stolen / wall_s:.0%} stolen")
        return found


def _names(models: Sequence[Model]) -> str:
    return "+".join(model.name for model in models)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter samples")
    parser.add_argument("--only", choices=CASES, help="one of the cases")
    options = parser.parse_args()
    cores = choose()
    for name, part in OTHERS.items():
        if options.only in (None, name):
            for bar in part(_case(OTHERS_HIDDEN), cores, 3.0 if options.quick else 10.0):
                print(bar.line(), flush=True)
    if options.only not in OTHERS:
        goodput(cores, options.only, quick=options.quick)


def goodput(cores: Cores, only: str | None, *, quick: bool) -> None:
    """Print the figures of light and heavy models and of their mixture."""
    light, heavy = calibrated("light", LIGHT_SIZES, LIGHT_S), calibrated("heavy", HEAVY_SIZES, HEAVY_S)
    for model in (light, heavy):
        print(f"{model.name}: LSTM with {model.hidden} hidden units, {model.step_s * 1e6:.0f} us a step alone")
    cases = {"light": [light], "heavy": [heavy], "mixture": [light, heavy]}
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, None))
        (cellar,) = contestants.start_cellars(stack, (cores.service,), redis, 1)
        for model in (light, heavy):
            contestants.create_model(cellar, model.name, _case(model.hidden))
            names = [f"{model.name}-{number}" for number in range(CONNECTIONS)]
            contestants.create_sessions(cellar, names, model.name)
        bench = Bench(cellar, cores, 4.0 if quick else 12.0)
        for name, models in cases.items():
            if only in (None, name):
                before = bench.capacity(models)
                found = [bench.overload(models, before, times) for times in TIMES]
                bench.report(models, found, before, bench.capacity(models))


if __name__ == "__main__":
    main()
