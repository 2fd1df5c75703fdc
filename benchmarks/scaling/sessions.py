"""Measures the cost of a step with many sessions that are stepped at random, in memory and beyond it.

Also how long the garbage collector stops a process that has them all in memory.
"""

import gc
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import redis

from benchmarks.scaling.scene import Row, Scene, grown
from benchmarks.serving import copies
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import create_sessions, start_cellars
from benchmarks.serving.copies import PREFIX, TENANT
from benchmarks.serving.http import post
from benchmarks.serving.model import CASE
from benchmarks.serving.stage import ORIGINAL
from cellar.ports import Position, SessionKey, SessionMeta, SessionRecord
from cellar.server import GARBAGE
from cellar.sessions.execution.model_cache import ModelCache
from cellar.sessions.scheduling.session_queues import SessionCache
from cellar.store.keys import SessionKeys
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router

LIMITS = {100: 1.0, 10_000: 1.2, 300_000: 1.2}

MISSING_LIMIT, SMALL_BYTES = 1.5, 4 << 20
"""The memory has room for a seventh of the sessions that are stepped."""

PAUSE_MS = 20.0


def name_of(index: int) -> str:
    """Return the name of a session."""
    return f"fleet-{index:06d}"


BODY = {"input": CASE.in_size * [0.5]}


def create(scene: Scene, count: int) -> None:
    """Create the first sessions as copies of one, where an earlier row has not done so."""
    create_named(scene, [name_of(index) for index in range(count)])


def create_named(scene: Scene, names: Sequence[str]) -> None:
    """Create those of the sessions that there are not yet."""
    with scene.redis.client() as client:
        found = _records(client, [ORIGINAL, *names])
        if not found[0]:
            create_sessions(scene.cellar, [ORIGINAL])
        copies.copy(
            client, client, ORIGINAL, (name for name, is_there in zip(names, found[1:], strict=True) if not is_there)
        )


def finish_growth(scene: Scene, count: int) -> None:
    """Let Redis end the work that creating the first sessions has left."""
    keys, names = SessionKeys(PREFIX), [SessionKey(TENANT, name_of(index)) for index in range(count)]
    scene.redis.finish_growth([of(name) for name in names for of in (keys.record, keys.tombstone)])


def _records(client: "redis.Redis", names: Sequence[str]) -> list[int]:
    """Return 1 for each session that has a record, 0 for the others."""
    keys = SessionKeys(PREFIX)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.exists(keys.record(SessionKey(TENANT, name)))
        found: list[int] = pipe.execute()
    return found


def measure(scene: Scene) -> Row:
    """Step random sessions among the first hundred, the first ten thousand, and so on."""
    counts = [100, 10_000] if scene.extent.quick else list(LIMITS)
    create(scene, counts[-1])
    draw = random.Random(0)
    for first in range(0, counts[-1], 50_000):  # each once, so that the service has read it
        scene.send([step(index) for index in range(first, min(counts[-1], first + 50_000))])

    def sample(count: int) -> float:
        return scene.send([step(index) for index in draw.choices(range(count), k=scene.extent.requests)])

    # mypy infers no lambda with a default
    found = scene.interleaved({f"{count}": lambda count=count: sample(count) for count in counts})  # type: ignore[misc]
    row = grown("sessions", found, {f"{count}": limit for count, limit in LIMITS.items()})
    missing, pause = _missing(scene, draw), _collections(20_000 if scene.extent.quick else 300_000)
    return Row([*row.lines, *missing.lines, *pause.lines], [*row.bars, *missing.bars, *pause.bars])


def _missing(scene: Scene, draw: random.Random) -> Row:
    """Step sessions of which a service with little memory must read most before their step."""
    with ExitStack() as stack:
        cores = scene.cores.service, scene.cores.outside
        (small,) = start_cellars(stack, cores, scene.redis, 1, cache_bytes=str(SMALL_BYTES))
        small.process.pin(scene.cores.service)
        other = replace(scene, cellar=small)

        def sample(where: Scene, count: int) -> float:
            return where.send([step(index) for index in draw.choices(range(count), k=scene.extent.requests)])

        found = scene.interleaved({"known": lambda: sample(other, 100), "missing": lambda: sample(other, 10_000)})
    return grown("sessions", found, {"missing": MISSING_LIMIT})


def _collections(count: int) -> Row:
    """Fill a cache of sessions and use it, with the collector set as in the service; take the longest collection."""
    cache = SessionCache(1 << 34, RedisSessions(open_router("redis://127.0.0.1:1"), prefix=PREFIX), _NoModels())
    pauses, begun_s = [0.0], [0.0]

    def note(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            begun_s[0] = time.thread_time()
        else:
            pauses.append(time.thread_time() - begun_s[0])

    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE)
    gc.callbacks.append(note)
    try:
        for index in range(count):
            cache.set_record(cache.queue(SessionKey(TENANT, name_of(index))), _record(index))
            cache.evict()
        for index in random.Random(0).choices(range(count), k=20_000):
            queue = cache.known(SessionKey(TENANT, name_of(index)))
            assert queue is not None
            assert queue.record is not None
            assert queue.record.revision == index
            cache.evict()
        gc.collect()
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*before)
        gc.unfreeze()
    longest_ms = 1e3 * max(pauses)
    line = (
        f"collector: {longest_ms:.1f} ms for the longest of {len(pauses) - 1} collections, {count:,} sessions in memory"
    )
    return Row([line], [Bar("collector_ms", longest_ms, PAUSE_MS, at_most=True, means="longest collection")])


def _record(index: int) -> SessionRecord:
    incarnation = index.to_bytes(8, "little")
    meta = SessionMeta("lstm@1", 64 * "d", 1, 2, 3600, 1.5, incarnation)
    place = Position(incarnation, index, bytes(16))
    return SessionRecord(SessionKey(TENANT, name_of(index)), meta, place, index, index.to_bytes(4, "little") * 128)


class _NoModels(ModelCache):
    """Has no model loaded."""

    def __init__(self) -> None:
        """Start no thread."""

    def cached(self, tenant: str, meta: SessionMeta) -> None:
        """Return None."""


def step(index: int) -> bytes:
    """Return the request for a step of a session."""
    return post(f"/v1/sessions/{name_of(index)}/step", BODY)
