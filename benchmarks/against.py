"""Compares the CPU time of a step with that of another checkout, or without one with that of pure Python.

python -m benchmarks.against CHECKOUT

Both services run beside each other with the same libraries, on one Redis that syncs its file every second, under keys
of their own. They take turns, and the ratio is the median of those of each round, with its interval: a commit that
changes the path of a step is held against the one before it.
"""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import httpx

from benchmarks.serving import contestants, streams
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.cores import choose
from benchmarks.serving.generator import Generator
from benchmarks.serving.load import Job
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.rounds import THOROUGH as EFFORT
from benchmarks.serving.rounds import Watch, interleave
from benchmarks.serving.stage import names, requests
from benchmarks.timing import paired_ratio

CLIENTS = 32

ROUNDS, SAMPLE_S = 15, 0.5

WAYS: dict[str, Callable[[Contestant], Job]] = {
    "HTTP, JSON, 1 client": lambda service: Job((service.port,), requests(service, 1), SAMPLE_S),
    "HTTP, JSON, 32 clients": lambda service: Job((service.port,), requests(service, CLIENTS), SAMPLE_S),
    "WebSocket, lock-step": lambda service: streams.job(service, "stream", 1, SAMPLE_S),
    "WebSocket, 32 in flight": lambda service: streams.job(service, "stream", streams.IN_FLIGHT, SAMPLE_S),
    "frames, 32 in flight": lambda service: streams.job(service, "frames", streams.IN_FLIGHT, SAMPLE_S),
}


def start(stack: ExitStack, name: str, checkout: Path, redis: RedisServer, core: int, **settings: str) -> Contestant:
    """Start the service of a checkout, create its model and sessions, and freeze it."""
    (service,) = contestants.start_cellars(stack, {core}, redis, 1, checkout, key_prefix=name, **settings)
    contestants.create_model(service)
    contestants.create_sessions(service, names(CLIENTS))
    print(f"{name}: {httpx.get(f'{service.url}/readyz').json().get('build', 'pure')}")
    service.process.freeze()
    return service


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("checkout", type=Path, nargs="?", help="a folder with another commit of this repository")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    asked = options.parse_args()
    cores = choose()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, None))
        generator = stack.enter_context(Generator(cores.outside))
        redis.set_fsync("everysec")
        here = Path(__file__).parents[1]
        there = {} if asked.checkout else {"pure": "1"}
        both = {
            "here": start(stack, "here", here, redis, cores.service),
            "there": start(stack, "there", (asked.checkout or here).resolve(), redis, cores.service, **there),
        }
        watch = Watch(cores, redis.process, generator.process)
        print(f"{'':26}{'us here':>9}{'there':>9}{'ratio':>8}")
        for name, job in WAYS.items():
            ways = {key: (each.process, partial(generator.run, job(each))) for key, each in both.items()}
            found = interleave(watch, name, ways, replace(EFFORT, rounds=asked.rounds))
            ours, theirs = found["here"].cpu_us, found["there"].cpu_us
            ratio = paired_ratio(ours, theirs)
            interval = f"[{ratio.low:.3f} {ratio.high:.3f}]"
            print(f"{name:26}{median(ours):9.1f}{median(theirs):9.1f}{ratio.median:8.3f} {interval}", flush=True)


if __name__ == "__main__":
    main()
