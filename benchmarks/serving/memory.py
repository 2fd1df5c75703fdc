"""Measures the memory of a session in Redis with a million sessions, index and tombstone included."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import redis

from benchmarks.serving import copies
from benchmarks.serving.bars import Bar
from benchmarks.serving.load import once
from benchmarks.serving.model import CASE
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.rounds import running
from benchmarks.serving.stage import ORIGINAL, Stage, session_requests
from cellar.settings import Settings
from cellar.store.keys import BUCKETS

MILLION = 1_000_000

SCALE = 64
"""With QUICK: a sixty-fourth of a million, in a sixty-fourth of the buckets of the index. Buckets and the
tables of Redis are then as full as with a million, and all lengths are the same."""

STATE_BYTES = 4 * 2 * CASE.hidden

EMPTY_BAR = 1.3 * STATE_BYTES + 800

OUTPUT_BYTES = 4 * CASE.hidden

RING_SESSIONS = 256
"""Sessions whose replay ring is filled by real steps."""

CLIENTS = 32


def full_bar(window: int) -> float:
    """Return the bar of a full ring: each entry has its output and 128 bytes, and the allocator rounds sizes up."""
    return EMPTY_BAR + 1.3 * window * (OUTPUT_BYTES + 128)


def measure(stage: Stage, *, million: bool) -> Outcome:
    """Measure sessions without steps and sessions with a full ring."""
    window = Settings().replay_window
    with running(stage.cellar.process):
        empty = _empty_bytes(stage, million=million)
        ring = _ring_bytes(stage, window)
    how = "a million" if million else f"a million, by a {SCALE}th of it in a {SCALE}th of the index"
    entries = f"with all {window} entries of its ring, {OUTPUT_BYTES} bytes of output each"
    return Outcome(
        bars=[
            Bar("session_memory_bytes", empty, EMPTY_BAR, at_most=True, means=f"in Redis, of {how}"),
            Bar("session_memory_full_ring_bytes", empty + ring, full_bar(window), at_most=True, means=entries),
        ],
        remarks=[f"a session of {how}: {empty:.0f} bytes, {STATE_BYTES} of them state; {ring:.0f} more {entries}"],
    )


def _empty_bytes(stage: Stage, *, million: bool) -> float:
    """Return the bytes of a session, from copies in their own Redis. Raise AssertionError if copies differ."""
    count, buckets = (MILLION, BUCKETS) if million else (MILLION // SCALE, BUCKETS // SCALE)
    with ExitStack() as stack:
        other = stack.enter_context(RedisServer(stage.cores.outside, Path(stage.redis.directory)))
        source, target = stack.enter_context(stage.redis.client()), stack.enter_context(other.client())
        target.config_set("appendonly", "no")  # a million copies need not be written to the disk
        before = used_bytes(target)
        copies.copy(source, target, ORIGINAL, copies.in_buckets(count, buckets))
        used = used_bytes(target) - before
        one = next(copies.in_buckets(1, buckets))
        made, copied = copies.record_bytes(source, ORIGINAL), copies.record_bytes(target, one)
        assert len(ORIGINAL) == len(one)
        assert made == copied, f"a copy takes {copied} bytes, what the service made {made}"
        return used / count


def _ring_bytes(stage: Stage, window: int) -> float:
    """Return the additional bytes of a session with a full ring, by stepping some sessions."""
    names = [f"ring-{index:03d}" for index in range(RING_SESSIONS)]
    with stage.redis.client() as client:
        stage.redis.set_fsync("everysec")
        copies.copy(client, client, ORIGINAL, names)
        empty = sum(copies.record_bytes(client, name) for name in names)
        steps: Sequence[bytes] = session_requests(stage.cellar, names) * window
        stage.generator.run(once((stage.cellar.port,), steps, CLIENTS))
        return (sum(copies.record_bytes(client, name) for name in names) - empty) / RING_SESSIONS


def used_bytes(client: "redis.Redis") -> int:
    """Return the memory of a Redis without the buffers of its clients and of its append-only file."""
    info = client.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"])
