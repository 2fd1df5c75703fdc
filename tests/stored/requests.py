"""What the stored service was asked before it was stopped, and what it and every later one are asked afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAST = "the last position of the session"
"""As `position` of a body: the position of the last answer about the session."""


@dataclass(frozen=True)
class Request:
    """A request, sent again until the answer has the members `until`. A path may hold the name of a job: `{half}`."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    key: str | None = None
    until: Mapping[str, Any] = field(default_factory=dict)
    job: str | None = None
    """The name that other requests call the job by which this one submits."""

    events: int = 0
    """How many events are read of an answer that has no end."""


def get(path: str, **also: Any) -> Request:
    """Return a request that reads."""
    return Request("GET", path, **also)


def post(path: str, body: Mapping[str, Any] | None = None, **also: Any) -> Request:
    """Return a request that makes or changes something."""
    return Request("POST", path, body, **also)


def number(step: int, features: int = 2) -> list[float]:
    """Return the input of a step, from integers alone."""
    return [((7 * step + feature * 3) % 16 - 8) / 4 for feature in range(features)]


def numbers(first: int, steps: int, features: int = 2) -> list[list[float]]:
    """Return the inputs of a sequence."""
    return [number(first + step, features) for step in range(steps)]


def model(name: str, in_size: int, *layers: Mapping[str, Any], seed: int = 5, **also: Any) -> Request:
    """Return the request that creates a model."""
    return post("/models", {"name": name, "network": {"in_size": in_size, "layers": layers, **also}, "seed": seed})


def begin(name: str, of: str, **options: Any) -> Request:
    """Return the request that creates a session."""
    return post("/sessions", {"session": name, "model": of, **options})


def step(name: str, count: int, features: int = 2, key: str | None = None, **identity: Any) -> Request:
    """Return the request for a step with the input of the number `count`."""
    return post(f"/sessions/{name}/step", {"input": number(count, features), **identity}, key=key)


def steps(name: str, first: int, count: int, features: int = 2) -> list[Request]:
    """Return steps that say which they are."""
    return [step(name, n, features, step=n) for n in range(first, first + count)]


def rows(count: int, rows: int = 3) -> list[list[float]]:
    """Return the input of a step of several rows."""
    return [number(5 * count + row) for row in range(rows)]


def written_by(name: str, writer: str, seq: int) -> Request:
    """Return a step of a writer, whose input follows from both."""
    return step(name, seq + sum(map(ord, writer)), writer=writer, seq=seq)


RECURRENT = {"type": "recurrent"}
DENSE = {"type": "dense", "out_size": 1}
DROPOUT = {"type": "dropout", "rate": 0.1}
MIXED = (
    RECURRENT | {"cell": "gru", "hidden_size": 5},
    RECURRENT | {"cell": "lstm", "hidden_size": 4, "trainable_state": True, "init": {"h0": {"uniform": [-1, 1]}}},
    {"type": "dense", "out_size": 2, "activation": "tanh"},
)
SERIES = [round((n * n % 23 + n % 7) / 32, 5) for n in range(64)] * 24
"""Repeats itself, so that the dataset takes little room in the file."""

HALF = {
    "model": "forecast@1",
    "data": {"layout": "T", "inputs": SERIES[:-1], "targets": SERIES[1:]},
    "state": "carry",
    "window": 24,
    "epochs": 120,
    "validation": 0.1,
    "early_stopping": {"patience": 1000},
    "optimiser": {
        "type": "adamw",
        "learning_rate": 0.002,
        "weight_decay": 0.01,
        "clip_norm": 1,
        "schedule": {"type": "cosine", "minimum": 0.0001},
    },
    "loss": {"type": "huber", "delta": 0.25},
    "seed": 7,
    "publish": "always",
}
"""A job that is stopped when most of it is done. From the beginning it takes ten times as long as the rest of it."""

SMALL = {
    "model": "forecast@1",
    "data": {"layout": "TF", "inputs": [[n / 8] for n in range(8)], "targets": [[(n + 1) / 8] for n in range(8)]},
    "epochs": 5,
    "optimiser": {"type": "sgd", "learning_rate": 0.01},
    "publish": "always",
}

BEFORE: list[Request] = [
    model("mixed", 2, *MIXED),
    model("total", 1, RECURRENT | {"cell": {"equations": "h = h + x"}, "hidden_size": 1}),
    model("fading", 1, RECURRENT | {"cell": {"equations": "h = 0.5 * h + x\nc = c + x"}, "hidden_size": 1}),
    model(
        "letters",
        1,
        {"type": "embedding", "count": 26, "out_size": 4},
        {
            "type": "residual",
            "layers": [
                {"type": "layer_norm"},
                RECURRENT | {"cell": "rnn", "hidden_size": 4},
                {"type": "dropout", "rate": 0.1},
            ],
        },
        {"type": "dense", "out_size": 5},
    ),
    model(
        "tagger",
        2,
        {"type": "bidirectional", "layer": RECURRENT | {"cell": "gru", "hidden_size": 3}},
        {"type": "dense", "out_size": 1},
    ),
    model("halves", 2, RECURRENT | {"cell": "lstm", "hidden_size": 6}, weight_storage="bfloat16"),
    model("gone", 2, *MIXED, seed=9),
    model(
        "forecast",
        1,
        RECURRENT | {"cell": "gru", "hidden_size": 12},
        {"type": "dropout", "rate": 0.1},
        {"type": "dense", "out_size": 1},
    ),
    model("later", 1, RECURRENT | {"cell": "rnn", "hidden_size": 3}, DENSE),
    # sessions of every kind of model
    begin("plain", "mixed"),
    *[step("plain", n) for n in range(5)],
    begin("total", "total", pinned=True),
    post("/sessions/total/sequence", {"inputs": numbers(0, 40, 1)}),
    begin("letters", "letters"),
    *[post("/sessions/letters/step", {"input": [n]}) for n in (7, 4, 11, 11, 14)],
    begin("tagger", "tagger"),
    post("/sessions/tagger/sequence", {"inputs": numbers(0, 6)}),
    begin("halves", "halves"),
    *steps("halves", 0, 4),
    # which step a request is
    begin("ring", "mixed"),
    *steps("ring", 0, 40),
    begin("placed", "mixed"),
    step("placed", 0, position=LAST),
    step("placed", 1, position=LAST),
    begin("keyed", "mixed"),
    *[step("keyed", n, key=f"reading {n}") for n in range(3)],
    begin("writers", "mixed"),
    written_by("writers", "early", 1),
    *[written_by("writers", writer, seq) for seq in range(1, 15) for writer in ("gauge-a", "gauge-b", "gauge-c")],
    begin("crowd", "mixed"),
    *[written_by("crowd", f"gauge-{n}", 1) for n in range(66)],
    # rows
    begin("rows", "mixed", batch_size=3),
    *[post("/sessions/rows/step", {"input": rows(n), "step": n}) for n in range(3)],
    post("/sessions/rows/sequence", {"inputs": [rows(3), rows(4)], "step": 3, "reset": [False, True, False]}),
    # what came before
    begin("past", "mixed", history=4, log=100),
    *steps("past", 0, 6),
    post("/sessions/past/sequence", {"inputs": numbers(6, 5), "step": 6}),
    post("/sessions/past/reset", {"position": LAST}),
    *steps("past", 0, 3),
    begin("meter", "total", log=100),
    post("/sessions/meter/sequence", {"inputs": numbers(0, 7, 1)}),
    post("/sessions/meter/replay", {"model": "fading@1", "session": "replayed"}),
    begin("moved", "mixed", log=100),
    *steps("moved", 0, 3),
    post("/sessions/moved/migrate", {"model": "gone@1", "how": "replay"}),
    *steps("moved", 0, 2),
    # snapshots, forks, shadows, watchers
    begin("kept", "mixed"),
    *steps("kept", 0, 4),
    post("/sessions/kept/snapshots", {"snapshot": "first"}, key="first"),
    *steps("kept", 4, 3),
    post("/sessions/kept/snapshots", {"snapshot": "second"}),
    post("/sessions/kept/restore", {"snapshot": "first"}),
    step("kept", 9, position=LAST),
    begin("parent", "mixed"),
    *steps("parent", 0, 5),
    post("/sessions/parent/fork", {"names": ["mild", "frost"]}, key="tomorrow"),
    *steps("frost", 0, 2),
    *steps("parent", 5, 2),
    begin("shadowed", "mixed", log=1000),
    *steps("shadowed", 0, 4),
    Request("PUT", "/sessions/shadowed/shadow", {"model": "gone@1"}),
    *steps("shadowed", 4, 4),
    get("/sessions/shadowed/shadow", until={"behind": 0}),
    begin("watched", "mixed", events=16),
    *steps("watched", 0, 3),
    post("/sessions/watched/reset"),
    *steps("watched", 0, 1),
    # what has ended
    begin("expired", "total", ttl_s=1),
    begin("deleted", "total"),
    Request("DELETE", "/sessions/deleted"),
    model("old", 2, *MIXED, seed=3),
    begin("bereft", "old", log=100),
    *steps("bereft", 0, 3),
    Request("DELETE", "/models/old?force=true"),
    get("/sessions/expired", until={"status": 410}),
    # jobs: the second version of `forecast`, one that has failed, one that is stopped in the middle, one that waits
    post("/jobs", SMALL, job="small", key="small"),
    get("/jobs/{small}", until={"state": "succeeded"}),
    post("/jobs", SMALL | {"optimiser": {"type": "sgd", "learning_rate": 1e6}, "epochs": 50}, job="failed"),
    get("/jobs/{failed}", until={"state": "failed"}),
    begin("second", "forecast@2"),
    *steps("second", 0, 3, 1),
    *steps("shadowed", 8, 2),
    post("/jobs", HALF, job="half"),
    post("/jobs", SMALL | {"model": "later"}, job="waiting"),
    post("/jobs", SMALL | {"model": "later", "seed": 2}, job="cancelled"),
    post("/jobs/{cancelled}/cancel"),
]

AFTER: dict[str, list[Request]] = {
    "models": [
        *[
            get(f"/models/{ref}")
            for ref in ("mixed@1", "letters", "tagger", "halves", "forecast@1", "forecast@2", "old")
        ],
    ],
    "sessions": [
        get("/sessions/plain"),
        get("/sessions/plain/state"),
        *[step("plain", n) for n in range(5, 8)],
        post("/sessions/plain/sequence", {"inputs": numbers(8, 40)}),
        post("/sessions/plain/reset"),
        step("plain", 0),
        get("/sessions?model=mixed@1&prefix=plain"),
    ],
    "a cell of equations": [
        get("/sessions/total"),
        post("/sessions/total/sequence", {"inputs": numbers(40, 3, 1)}),
        Request("PATCH", "/sessions/total", {"ttl_s": 600}),
    ],
    "an embedding": [
        *[post("/sessions/letters/step", {"input": [n]}) for n in (22, 14, 17)],
        get("/sessions/letters/state"),
    ],
    "whole sequences": [post("/sessions/tagger/sequence", {"inputs": numbers(6, 5)})],
    "bfloat16": steps("halves", 4, 3),
    "the ring": [
        *[step("ring", n, step=n) for n in (39, 8, 7)],
        step("ring", 0, step=39),
        step("ring", 41, step=41),
        *steps("ring", 40, 3),
        step("ring", 40, step=40),
    ],
    "positions": [step("placed", 2, position=LAST), step("placed", 3, position=LAST)],
    "keys": [step("keyed", 1, key="reading 1"), step("keyed", 2, key="reading 1"), step("keyed", 3, key="reading 3")],
    "writers": [
        written_by("writers", "early", 1),
        written_by("writers", "gauge-b", 14),
        written_by("writers", "gauge-b", 5),
        written_by("writers", "gauge-b", 3),
        written_by("writers", "gauge-d", 2),
        *[written_by("writers", writer, seq) for writer, seq in (("early", 2), ("gauge-a", 15), ("gauge-d", 1))],
        written_by("crowd", "gauge-0", 2),
        written_by("crowd", "gauge-2", 1),
        written_by("crowd", "gauge-65", 2),
    ],
    "rows": [
        get("/sessions/rows/state"),
        post("/sessions/rows/sequence", {"inputs": [rows(3), rows(4)], "step": 3, "reset": [False, True, False]}),
        post("/sessions/rows/step", {"input": rows(5), "step": 5, "reset": [True, False, False]}),
        post("/sessions/rows/reset", {"rows": [2]}),
        post("/sessions/rows/step", {"input": rows(6)}),
    ],
    "history and log": [
        get("/sessions/past/history"),
        get("/sessions/past/log?limit=4"),
        get("/sessions/past/log?after=6"),
        *steps("past", 3, 2),
        post("/sessions/past/rewind", {"step": 1}),
        *steps("past", 0, 2),
        get("/sessions/past/history"),
        post("/sessions/past/rewind", {"steps": 1}),
        get("/sessions/past/state"),
        post("/sessions/past/rewind", {"step": 50}),
    ],
    "replay and migration": [
        post("/sessions/meter/sequence", {"inputs": numbers(7, 2, 1)}),
        post("/sessions/meter/replay", {"model": "fading@1"}),
        post("/sessions/replayed/step", {"input": [0.5]}),
        get("/sessions/replayed/log"),
        *steps("moved", 2, 2),
        get("/sessions/moved/log"),
        post("/sessions/moved/migrate", {"model": "mixed@1", "how": "carry"}),
        *steps("moved", 0, 2),
    ],
    "snapshots": [
        get("/sessions/kept/snapshots"),
        post("/sessions/kept/snapshots", {"snapshot": "first"}, key="first"),
        post("/sessions/kept/snapshots", {"snapshot": "second"}),
        step("kept", 10, position=LAST),
        post("/sessions/kept/restore", {"snapshot": "second"}),
        get("/sessions/kept/state"),
        step("kept", 7, step=0),
        Request("DELETE", "/sessions/kept/snapshots/first"),
        get("/sessions/kept/snapshots/second"),
    ],
    "forks": [
        post("/sessions/parent/fork", {"names": ["mild", "frost"]}, key="tomorrow"),
        Request("DELETE", "/sessions/mild"),
        post("/sessions/parent/fork", {"names": ["mild", "frost"]}, key="tomorrow"),
        *steps("mild", 0, 3),
        *steps("frost", 2, 1),
        *steps("parent", 7, 1),
        post("/sessions/parent/fork", {"names": ["autumn"]}),
        step("autumn", 8),
    ],
    "a shadow": [
        get("/sessions/shadowed/shadow", until={"behind": 0}),
        *steps("shadowed", 10, 3),
        get("/sessions/shadowed/shadow", until={"behind": 0, "steps": 9}),
        get("/sessions/shadowed/state"),
    ],
    "events": [
        get("/sessions/watched/events?kept=true", events=7),
        *steps("watched", 1, 2),
        get("/sessions/watched/events?kept=true", events=9),
    ],
    "what has ended": [
        get("/sessions/expired"),
        get("/sessions/deleted"),
        step("bereft", 2, step=2),
        step("bereft", 3, step=3),
        get("/sessions/bereft/state"),
        get("/sessions/bereft/log"),
        post("/sessions/bereft/migrate", {"model": "mixed@1", "how": "carry"}),
        *steps("bereft", 0, 2),
    ],
    "jobs that have ended": [
        get("/jobs/{small}"),
        post("/jobs", SMALL, key="small"),
        get("/jobs/{failed}"),
        get("/jobs/{cancelled}"),
        *steps("second", 3, 3, 1),
        begin("first", "forecast@1"),
        *steps("first", 0, 3, 1),
    ],
    "a job that waits": [
        get("/jobs/{waiting}", until={"state": "succeeded"}),
        get("/models/later@2"),
        begin("later", "later@2"),
        *steps("later", 0, 3, 1),
    ],
    "a job in the middle": [
        get("/jobs/{half}", until={"state": "succeeded"}),
        get("/models/forecast@3"),
        begin("third", "forecast@3"),
        *steps("third", 0, 3, 1),
        begin("newest", "forecast"),
        step("newest", 0, 1),
        get("/jobs/{waiting}", until={"state": "succeeded"}),
        get("/models"),
    ],
}
"""By what is shown. Each list goes by sessions of its own, and stands alone."""
