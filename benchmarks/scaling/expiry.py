"""Measures steps while many other sessions expire at once, and how long their names stay in the lists."""

import time
from collections.abc import Sequence
from statistics import median

import redis

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import CLIENTS, Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.copies import PREFIX, TENANT
from benchmarks.serving.load import Found, Job
from cellar.ports import SessionKey
from cellar.store.keys import BUCKETS, SessionKeys

KEYS = SessionKeys(PREFIX)

LIMIT_S, LIMIT_TIMES = 30.0, 2.0

ALIVE = 1_000
"""Sessions that do not expire, which are stepped."""

IN_S, QUICK_IN_S = 5.0, 1.0
"""Time from the command to the expiry, in which all sessions are given the same time."""

SAMPLE_S, QUICK_SAMPLE_S = 2.0, 0.5


def measure(scene: Scene) -> Row:
    """Let all sessions but those that are stepped expire in the same moment."""
    count = 5_000 if scene.extent.quick else 100_000
    sessions.create(scene, ALIVE)
    dying = [f"dying-{index:06d}" for index in range(count)]
    sessions.create_named(scene, dying)
    with scene.redis.client() as client:
        listed = _listed(client)
        before = [_steps(scene) for _ in range(3)]
        at_s = time.time() + (QUICK_IN_S if scene.extent.quick else IN_S) + count / 50_000
        _expire(client, dying, at_s)
        time.sleep(max(0.0, at_s - time.time()))
        begun_s, during = time.perf_counter(), list[Found]()
        while _listed(client) > listed - count and time.perf_counter() < begun_s + 2 * LIMIT_S:
            during.append(_steps(scene))
        took_s = time.perf_counter() - begun_s
        assert _listed(client) == listed - count, "names of expired sessions are left, or others are gone"
    usual, slow = (1e3 * median(found.percentile_s(99) for found in some) for some in (before, during))
    rates = [median(found.rate for found in some) for some in (before, during)]
    line = f"expiry: {count:,} sessions left the lists in {took_s:.1f} s; p99 {usual:.1f} ms before, {slow:.1f} ms then"
    line += f"; {rates[0]:,.0f} steps/s before, {rates[1]:,.0f} then"
    return Row(
        [line],
        [
            Bar("expiry_s", took_s, LIMIT_S, at_most=True, means=f"until {count:,} are off the lists"),
            Bar("expiry_p99", slow / usual, LIMIT_TIMES, at_most=True, means="p99 of other steps over that before"),
        ],
    )


def _steps(scene: Scene) -> Found:
    """Step the sessions that stay, each client those of its own."""
    requests = [sessions.step(index) for index in range(ALIVE)]
    clients = tuple(tuple(requests[client::CLIENTS]) for client in range(CLIENTS))
    seconds = QUICK_SAMPLE_S if scene.extent.quick else SAMPLE_S
    return scene.generator.run(Job((scene.cellar.port,), clients, seconds))


def _expire(client: "redis.Redis", names: Sequence[str], at_s: float) -> None:
    """Give sessions the same time of expiry."""
    for first in range(0, len(names), 10_000):
        with client.pipeline(transaction=False) as pipe:
            for name in names[first : first + 10_000]:
                pipe.pexpireat(KEYS.record(SessionKey(TENANT, name)), int(1000 * at_s))
            pipe.execute()


def _listed(client: "redis.Redis") -> int:
    """Return the number of names in the lists."""
    with client.pipeline(transaction=False) as pipe:
        for bucket in range(BUCKETS):
            pipe.zcard(KEYS.bucket(TENANT, bucket))
        return sum(pipe.execute())
