"""Steps over WebSockets: one after the other, and with many in flight."""

import numpy as np

from benchmarks.serving import websocket
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.load import Found, Job, Speech
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.redis_server import Fsync
from benchmarks.serving.rounds import Effort, Way, interleave
from benchmarks.serving.stage import VARIANTS, Stage, draw, names
from cellar.wire import frames

CLIENTS = 16

IN_FLIGHT = 32
"""As many as the service lets a session have."""


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure 16 clients, each with a session of its own."""
    entries: dict[str, tuple[Speech, int, Fsync]] = {
        "cellar": ("stream", 1, "always"),
        "cellar everysec": ("stream", 1, "everysec"),
        "echo": ("echo", 1, "always"),
        "cellar, 32": ("stream", IN_FLIGHT, "always"),
        "cellar frames, 32": ("frames", IN_FLIGHT, "always"),
    }
    if effort.all_ways:
        entries |= {
            "cellar frames": ("frames", 1, "always"),
            "cellar everysec, 32": ("stream", IN_FLIGHT, "everysec"),
            "echo, 32": ("echo", IN_FLIGHT, "always"),
        }
    ways = {name: _way(stage, *entry, effort) for name, entry in entries.items()}
    found = interleave(stage.watch, f"websocket, {CLIENTS} clients", ways, effort)
    best = max(("cellar, 32", "cellar frames, 32"), key=lambda name: found[name].rate)
    return Outcome(
        list(found.values()),
        [
            Bar(
                "websocket_lockstep",
                found["cellar"].faster_than(found["echo"]).median,
                0.7,
                means="rate over the echo's",
            ),
            Bar(
                "websocket_inflight32",
                found[best].faster_than(found["echo"]).median,
                3,
                means=f"rate of {best} in flight over the echo's in lock-step",
            ),
        ],
    )


def job(contestant: Contestant, speech: Speech, window: int, seconds: float) -> Job:
    """Return the load of 16 clients, each with so many messages in flight."""
    rows = draw(CLIENTS * VARIANTS)
    messages = [_frame(row) if speech == "frames" else websocket.frame(contestant.body("", row)) for row in rows]
    clients = tuple(tuple(messages[at : at + VARIANTS]) for at in range(0, len(messages), VARIANTS))
    paths = tuple(f"/v1/sessions/{name}/stream" for name in names(CLIENTS))
    return Job((contestant.port,), clients, seconds, window=window, speech=speech, paths=paths)


def _way(stage: Stage, speech: Speech, window: int, fsync: Fsync, effort: Effort) -> Way:
    contestant = stage.all["websocket-echo"] if speech == "echo" else stage.cellar
    load = job(contestant, speech, window, effort.sample_s)

    def measure() -> Found:
        stage.redis.set_fsync(fsync)
        return stage.generator.run(load)

    return contestant.process, measure


def _frame(row: list[float]) -> bytes:
    """Return a message with a frame of one step of the socket's session."""
    inputs = np.array(row, np.float32)[None, None]
    return websocket.frame(frames.pack_steps([frames.Step("", inputs)]), "binary")
