"""Prints in which functions the service spends its time under a load: `python -m benchmarks.service --profile NAME`.

It prints functions by the microseconds of an answer that are spent in them alone, and including what they call. The
append-only file is synced every second, because the time of the disk is not of interest here.
"""

import json
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.serving import contestants, many, sequences, single_steps, streams
from benchmarks.serving.contestants import MODEL, Contestant
from benchmarks.serving.cores import choose
from benchmarks.serving.generator import Generator
from benchmarks.serving.http import get, post, request
from benchmarks.serving.load import Job
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.stage import SESSIONS, draw, names, requests

LINES = 50

SECONDS = 4.0


def _json(cellar: Contestant) -> Job:
    return Job((cellar.port,), requests(cellar, single_steps.CLIENTS), SECONDS)


def _sequences(cellar: Contestant) -> Job:
    sequences.prepare(cellar)
    return sequences.job(cellar, "npy", SECONDS)


def _created(cellar: Contestant) -> Job:
    return _of_all(cellar, [post("/v1/sessions", {"model": MODEL, "ttl_s": 3600})])


def _created_together(cellar: Contestant) -> Job:
    body = (json.dumps({"model": MODEL, "ttl_s": 3600}) + "\n").encode() * SESSIONS
    return _of_all(cellar, [request("/v1/sessions/bulk", body, "application/x-ndjson")])


def _states(cellar: Contestant) -> Job:
    return _of_all(cellar, [get(f"/v1/sessions/{name}/state") for name in names(SESSIONS)])


def _lines(cellar: Contestant) -> Job:
    """Return requests with steps of all sessions in JSON."""
    body = {"input": draw(1)[0]}
    lines = [json.dumps({"session": name, **body}) + "\n" for name in names(SESSIONS)]
    return _of_all(cellar, [request("/v1/steps", "".join(lines).encode(), "application/x-ndjson")])


def _of_all(cellar: Contestant, each: list[bytes]) -> Job:
    return Job((cellar.port,), (tuple(each),) * single_steps.CLIENTS, SECONDS)


LOADS: dict[str, Callable[[Contestant], Job]] = {
    "json": _json,
    "websocket": lambda cellar: streams.job(cellar, "stream", 1, SECONDS),
    "in-flight": lambda cellar: streams.job(cellar, "stream", streams.IN_FLIGHT, SECONDS),
    "frames": lambda cellar: streams.job(cellar, "frames", streams.IN_FLIGHT, SECONDS),
    "many": lambda cellar: many.job(cellar, names(many.SESSIONS), SECONDS),
    "sequences": _sequences,
    "create": _created,
    "create-bulk": _created_together,
    "states": _states,
    "lines": _lines,
}
"""Loads by name: 32 clients with single steps over HTTP; streams one by one, with 32 in flight, and the same in frames;
1,024 sessions in a request; sequences as npy; sessions that are created, one by one and 128 in a request; states that
are read; and steps of 128 sessions in a request as JSON."""


def profile(name: str, data: Path | None) -> None:
    """Run one load on a service, and print the profile."""
    cores = choose()
    with TemporaryDirectory() as directory:
        file = Path(directory) / "stacks"
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer(cores.outside, data))
            redis.set_fsync("everysec")
            generator = stack.enter_context(Generator(cores.outside))
            cellar = contestants.start_profiled(stack, {cores.service}, redis, file)
            contestants.create_model(cellar)
            contestants.create_sessions(cellar, names(many.SESSIONS if name == "many" else SESSIONS))
            job = LOADS[name](cellar)
            generator.run(replace(job, seconds=1.0))
            cellar.process.popen.send_signal(signal.SIGUSR1)
            before_s = cellar.process.cpu_s()
            found = generator.run(replace(job, warm_s=0.0))
            answer_us = (cellar.process.cpu_s() - before_s) / found.answered * 1e6
            cellar.process.finish()
        print(f"{name}: {found.rate:.0f} answers/s, {answer_us:.0f} us of CPU each")
        _print(file.read_text().splitlines(), answer_us)


def _print(stacks: list[str], answer_us: float) -> None:
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        alone[frames[-1]] += int(count)
        within.update(dict.fromkeys(frames, int(count)))
    total = alone.total()
    print(f"{total} samples")
    for title, found in (("alone", alone), ("with all that it calls", within)):
        print(f"us an answer, {title}")
        for name, samples in found.most_common(LINES):
            print(f"{samples / total * answer_us:8.1f}  {name}")
