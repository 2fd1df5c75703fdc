"""Measures steps over WebSockets: one after the other, and with many in flight."""

from typing import TypeVar

import numpy as np

from benchmarks.frames import pack_steps
from benchmarks.serving import websocket
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.load import Found, Job, Speech
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.redis_server import Fsync
from benchmarks.serving.rounds import Effort, Series, Way, interleave
from benchmarks.serving.stage import VARIANTS, Stage, draw, names, requests
from benchmarks.timing import paired_ratio
from cellar.wire.frames import frames

Thing = TypeVar("Thing")

CLIENTS = 32

IN_FLIGHT = 32
"""Steps in flight, as many as the service allows for a session."""


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure 32 clients, each with a session of its own."""
    entries: dict[str, tuple[Speech, int, Fsync]] = {
        "cellar": ("stream", 1, "always"),
        "cellar everysec": ("stream", 1, "everysec"),
        "http": ("http", 1, "always"),
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
    ours, echo = found["cellar"], found["echo"]
    return Outcome(
        list(found.values()),
        [
            Bar(
                "websocket_over_http_cpu",
                _cost(ours, found["http"]),
                1.1,
                at_most=True,
                means="CPU of a step in lock-step over that of a step by HTTP",
            ),
            Bar(
                "websocket_over_echo_cpu",
                _cost(ours, echo),
                1.7,
                at_most=True,
                means="CPU of a step in lock-step over that of an echo",
            ),
            Bar(
                "frames_inflight32",
                found["cellar frames, 32"].faster_than(echo).median,
                2.2,
                means="rate of frames in flight over the echo's in lock-step",
            ),
        ],
    )


def _cost(ours: Series, other: Series) -> float:
    """Return the CPU time of our steps over that of the other's: the median over the rounds."""
    return paired_ratio(ours.cpu_us, other.cpu_us).median


def job(contestant: Contestant, speech: Speech, window: int, seconds: float) -> Job:
    """Return the load of 32 clients, each with `window` steps in flight."""
    if speech == "frames":
        sent = window
        messages = [_frame(rows[:count]) for rows in _dealt(draw(CLIENTS * sent), sent) for count in range(1, sent + 1)]
    else:
        sent = VARIANTS
        messages = [websocket.frame(contestant.body("", row)) for row in draw(CLIENTS * sent)]
    paths = tuple(f"/v1/sessions/{name}/stream" for name in names(CLIENTS))
    clients = tuple(map(tuple, _dealt(messages, sent)))
    return Job((contestant.port,), clients, seconds, window=window, speech=speech, paths=paths)


def _way(stage: Stage, speech: Speech, window: int, fsync: Fsync, effort: Effort) -> Way:
    contestant = stage.all["websocket-echo"] if speech == "echo" else stage.cellar
    if speech == "http":
        load = Job((contestant.port,), requests(contestant, CLIENTS), effort.sample_s)
    else:
        load = job(contestant, speech, window, effort.sample_s)

    def measure() -> Found:
        stage.redis.set_fsync(fsync)
        return stage.generator.run(load)

    return contestant.process, measure


def _dealt(all_of_them: list[Thing], each: int) -> list[list[Thing]]:
    return [all_of_them[at : at + each] for at in range(0, len(all_of_them), each)]


def _frame(rows: list[list[float]]) -> bytes:
    """Return a message with a frame of steps of the socket's session."""
    steps = [frames.Step("", np.array(row, np.float32)[None, None]) for row in rows]
    return websocket.frame(pack_steps(steps), "binary")
