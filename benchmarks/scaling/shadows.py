"""Measures shadows: what a step of a session costs in addition when a shadow follows it, and what idle shadows cost."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import median

import httpx

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import MODEL, READY_S
from benchmarks.serving.copies import PREFIX, TENANT
from benchmarks.serving.http import post
from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys

KEYS = SessionKeys(PREFIX)

LIMIT_US, LIMIT_COMMANDS = 100.0, 0.0

IDLE_S, QUICK_IDLE_S = 4.0, 2.0

STEPS = 5
"""Steps of each session in a sample."""


def measure(scene: Scene) -> Row:
    """Step sessions that have a log, with and without a shadow, and wait until the shadows have followed."""
    count = 200 if scene.extent.quick else 2_000
    plain, shadowed = ([f"{kind}-{index}" for index in range(count)] for kind in ("plain", "shadowed"))
    names = [*plain, *shadowed]
    scene.send([post("/v1/sessions", {"session": name, "model": MODEL, "log": 100}) for name in names])
    put = [post(f"/v1/sessions/{name}/shadow", {"model": f"{MODEL}@1"}) for name in shadowed]
    scene.send([request_.replace(b"POST", b"PUT", 1) for request_ in put])
    with httpx.Client(base_url=scene.cellar.url, timeout=READY_S) as client:
        steps = 0

        def sample(names: list[str], *, followed: bool) -> float:
            """Return the microseconds of CPU for each step, with those of the shadows."""
            nonlocal steps
            begun_s = scene.cellar.process.cpu_s()
            for _ in range(STEPS):
                scene.send([post(f"/v1/sessions/{name}/step", sessions.BODY) for name in names])
            if followed:
                steps += STEPS
                _wait(client, names[-1], steps)
            else:
                time.sleep(1.0 if scene.extent.quick else 1.5)  # as long as the shadows are waited for
            return 1e6 * (scene.cellar.process.cpu_s() - begun_s) / (STEPS * len(names))

        ways = {"plain": lambda: sample(plain, followed=False), "shadow": lambda: sample(shadowed, followed=True)}
        found = scene.interleaved(ways)
        for name in shadowed:
            _wait(client, name, steps)
    idle_s = QUICK_IDLE_S if scene.extent.quick else IDLE_S
    commands = _commands(scene, [KEYS.shadow(SessionKey(TENANT, name)) for name in shadowed], idle_s)
    added = median(more - less for more, less in zip(found["shadow"], found["plain"], strict=True))
    line = f"shadows: {median(found['plain']):.1f} us of CPU a step without a shadow, {added:.1f} in addition with one"
    return Row(
        [line, f"shadows idle: {commands} commands in {idle_s:.0f} s for {count:,} shadows"],
        [
            Bar("shadow_us", added, LIMIT_US, at_most=True, means="CPU of a followed step, in addition"),
            Bar(
                "shadow_idle",
                commands / idle_s / count,
                LIMIT_COMMANDS,
                at_most=True,
                means="commands a second of an idle shadow",
            ),
        ],
    )


def _wait(client: httpx.Client, name: str, steps: int) -> None:
    """Wait until a shadow has followed exactly this many steps."""
    until_s = time.monotonic() + 60
    while True:
        found = client.get(f"/v1/sessions/{name}/shadow").raise_for_status().json()
        if found["behind"] == 0:
            assert (found["steps"], found["missed"], found["stopped"]) == (steps, 0, None), found
            return
        assert time.monotonic() < until_s, found
        time.sleep(0.25)


def _commands(scene: Scene, keys: Sequence[bytes], seconds: float) -> int:
    """Return the number of commands with one of these keys that Redis gets in some seconds."""
    found, until_s = b"", time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(scene.redis.socket))
        monitor.sendall(b"MONITOR\r\n")
        while (left_s := until_s - time.monotonic()) > 0:
            monitor.settimeout(left_s)
            with suppress(TimeoutError):
                found += monitor.recv(65_536)
    wanted = frozenset(keys)
    return sum(not wanted.isdisjoint(line.split(b'"')) for line in found.splitlines())
