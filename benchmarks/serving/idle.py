"""Measures the CPU time of the service with 10,000 sessions that are not stepped."""

import time

from benchmarks.serving import copies
from benchmarks.serving.bars import Bar
from benchmarks.serving.load import once
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.rounds import Effort, running
from benchmarks.serving.stage import ORIGINAL, Stage, session_requests

SESSIONS = 10_000

CLIENTS = 64

SETTLE_S = 0.5
"""Pause after the last step, in which connections are closed."""

BAR = 0.01
"""The bar, as a share of a core: periodic tasks of the web server and the sweepers take about half of it."""


def measure(stage: Stage, effort: Effort) -> Outcome:
    """Step each session once, so that the service has it in memory, and measure the idle service."""
    names = [f"idle-{index:05d}" for index in range(SESSIONS)]
    with running(stage.cellar.process), stage.redis.client() as client:
        stage.redis.set_fsync("everysec")
        copies.copy(client, client, ORIGINAL, names)
        stage.generator.run(once((stage.cellar.port,), session_requests(stage.cellar, names), CLIENTS))
        time.sleep(SETTLE_S)
        before_s, begin_s = stage.cellar.process.cpu_s(), time.perf_counter()
        time.sleep(max(1.0, 5 * effort.sample_s))
        share = (stage.cellar.process.cpu_s() - before_s) / (time.perf_counter() - begin_s)
    return Outcome(
        bars=[Bar("idle_10k_cpu", share, BAR, at_most=True, means="share of a core")],
        remarks=[f"{SESSIONS:,} idle sessions: the service uses {share:.2%} of its core"],
    )
