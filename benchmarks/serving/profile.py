"""Where the service spends its time under a load: `python -m benchmarks.serving.profile [CLIENTS]`.

Prints functions by the microseconds of a step that are spent in them alone, and with all that they call.
"""

import signal
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.serving import contestants
from benchmarks.serving.cores import choose
from benchmarks.serving.generator import Generator
from benchmarks.serving.load import Job
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.stage import SESSIONS, names, requests

LINES = 50

SECONDS = 4.0


def profile(clients: int) -> None:
    """Print what single steps of so many clients in a closed loop cost, with everysec: the disk is not the question."""
    cores = choose()
    with TemporaryDirectory() as directory:
        file = Path(directory) / "stacks"
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer(cores.outside, None))
            redis.set_fsync("everysec")
            generator = stack.enter_context(Generator(cores.outside))
            cellar = contestants.start_profiled(stack, {cores.service}, redis, file)
            contestants.create_model(cellar)
            contestants.create_sessions(cellar, names(SESSIONS))
            job = Job((cellar.port,), requests(cellar, clients), SECONDS)
            generator.run(job)
            cellar.process.popen.send_signal(signal.SIGUSR1)
            before_s = cellar.process.cpu_s()
            found = generator.run(job)
            step_us = (cellar.process.cpu_s() - before_s) / (SECONDS + job.warm_s) / found.rate * 1e6
            cellar.process.finish()
        print(f"{found.rate:.0f} steps/s, {step_us:.0f} us of CPU each")
        _print(file.read_text().splitlines(), step_us)


def _print(stacks: list[str], step_us: float) -> None:
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
        print(f"us a step, {title}")
        for name, samples in found.most_common(LINES):
            print(f"{samples / total * step_us:8.1f}  {name}")


if __name__ == "__main__":
    profile(int(sys.argv[1]) if len(sys.argv) > 1 else 32)
