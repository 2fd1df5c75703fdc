"""Measures lists of sessions: whole pages of a large fleet, and the sessions of one model among all.

Redis has ended the work that a growing fleet causes before: a rewrite of its append-only file and larger hash tables.
"""

import time
from statistics import median
from urllib.parse import urlencode

import httpx

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import READY_S, create_model, create_sessions

PAGE = 1_000

LIMITS = {"list_api_us": 15.0, "list_redis_us": 3.0}

RARE, FEW = "rare", 10
"""A model, and the number of its sessions."""


def measure(scene: Scene) -> Row:
    """Read pages of all sessions, then the sessions of a model that has few."""
    count = 20_000 if scene.extent.quick else 300_000
    sessions.create(scene, count)
    create_model(scene.cellar, RARE)
    create_sessions(scene.cellar, [f"rare-{index}" for index in range(FEW)], RARE)
    sessions.finish_growth(scene, count)
    with httpx.Client(base_url=scene.cellar.url, timeout=READY_S) as client:
        found: dict[str, list[float]] = {name: [] for name in (*LIMITS, "filter")}
        for _ in range(scene.extent.rounds):
            api_s, redis_s, listed = _read(scene, client, {"limit": PAGE}, most=20)
            found["list_api_us"].append(1e6 * api_s / listed)
            found["list_redis_us"].append(1e6 * redis_s / listed)
            begun_s = time.perf_counter()
            *_, listed = _read(scene, client, {"limit": PAGE, "model": RARE}, most=count)
            assert listed == FEW, listed
            found["filter"].append(1e3 * (time.perf_counter() - begun_s))
    bars = [
        Bar(name, median(found[name]), limit, at_most=True, means="CPU a session") for name, limit in LIMITS.items()
    ]
    bars.append(Bar("list_model_ms", median(found["filter"]), 10.0, at_most=True, means=f"{FEW} of {count:,} sessions"))
    return Row([f"{bar.name}: {bar.value:.1f}, {bar.means}" for bar in bars], bars)


def _read(scene: Scene, client: httpx.Client, query: dict[str, object], most: int) -> tuple[float, float, int]:
    """Read at most this many pages; return the CPU seconds of the service and of Redis, and the number of sessions."""
    processes = scene.cellar.process, scene.redis.process
    before = [process.cpu_s() for process in processes]
    pages = listed = 0
    cursor = ""
    while pages < most and (cursor or not pages):
        document = client.get("/v1/sessions?" + urlencode(query | {"cursor": cursor})).json()
        pages, listed, cursor = pages + 1, listed + len(document["sessions"]), document["cursor"]
    api_s, redis_s = (process.cpu_s() - early for process, early in zip(processes, before, strict=True))
    return api_s, redis_s, listed
