"""Measures requests that are no plain steps: creating sessions, reading a state, and steps of many sessions."""

import json
from itertools import count
from statistics import median

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import MODEL
from benchmarks.serving.http import get, post, request

LIMITS = {"create_8": 120.0, "create_32": 120.0, "create_bulk": 25.0, "read_state": 60.0}

REQUEST_LIMIT, STEP_LIMIT = 100.0, 12.0

LINES = 65
"""Steps of a large request, beside requests with one."""

SESSIONS = 2_000

IN_BULK = 2_000
"""Sessions that one request creates."""


def measure(scene: Scene) -> Row:
    """Measure each in turn."""
    sessions.create(scene, SESSIONS)
    names, numbers = [sessions.name_of(index) for index in range(SESSIONS)], count()
    scene.send([post(f"/v1/sessions/{name}/step", sessions.BODY) for name in names])
    few = scene.extent.requests // 4

    def create(clients: int) -> float:
        bodies = [{"session": f"new-{next(numbers)}", "model": MODEL} for _ in range(few)]
        return scene.cpu_us(scene.once([post("/v1/sessions", body) for body in bodies], clients))

    def create_bulk() -> float:
        body = b"".join(
            json.dumps({"session": f"bulk-{next(numbers)}", "model": MODEL}).encode() + b"\n" for _ in range(IN_BULK)
        )
        each = [request("/v1/sessions/bulk", body, "application/x-ndjson")]
        return scene.cpu_us(scene.once(each, 1)) / IN_BULK

    def bulk(lines: int) -> float:
        requests = max(32, few // lines)
        chosen = [names[(at * lines + line) % SESSIONS] for at in range(requests) for line in range(lines)]
        bodies = [_lines(chosen[at : at + lines]) for at in range(0, len(chosen), lines)]
        return scene.cpu_us(scene.once([request("/v1/steps", body, "application/x-ndjson") for body in bodies], 8))

    found = scene.interleaved(
        {
            "create_8": lambda: create(8),
            "create_32": lambda: create(32),
            "create_bulk": create_bulk,
            "read_state": lambda: scene.send([get(f"/v1/sessions/{name}/state") for name in names]),
            "one": lambda: bulk(1),
            "many": lambda: bulk(LINES),
        }
    )
    one, many = median(found["one"]), median(found["many"])
    each = (many - one) / (LINES - 1)
    figures = {name: median(found[name]) for name in LIMITS}
    bars = [Bar(f"{name}_us", figures[name], limit, at_most=True) for name, limit in LIMITS.items()]
    bars += [
        Bar("bulk_request_us", one - each, REQUEST_LIMIT, at_most=True, means="a request of POST /v1/steps"),
        Bar("bulk_step_us", each, STEP_LIMIT, at_most=True, means="each of its steps, in addition"),
    ]
    return Row([f"{bar.name}: {bar.value:.1f} us of CPU" for bar in bars], bars)


def _lines(names: list[str]) -> bytes:
    return b"".join(json.dumps({"session": name, **sessions.BODY}).encode() + b"\n" for name in names)
