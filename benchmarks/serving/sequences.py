"""Measures sequences of 1,000 steps in one request, as npy and as JSON, with 32 hidden units."""

import io
import json
from typing import Literal

import numpy as np

from benchmarks.cases import Case
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.http import request
from benchmarks.serving.load import Found, Job
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.rounds import Effort, Way, interleave
from benchmarks.serving.stage import Stage

CASE = Case("lstm", 8, 32, 1000, 1)

MODEL = "lstm-32"

CLIENTS = 8
"""Clients, enough so that the service has a request to run while others wait for the disk."""

NAMES = [f"sequence-{index}" for index in range(CLIENTS)]

Form = Literal["npy", "json"]


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure steps a second on the core of the service."""
    stage.cellar.process.thaw()
    prepare(stage.cellar)

    def way(form: Form) -> Way:
        load = job(stage.cellar, form, effort.sample_s)

        def measure() -> Found:
            stage.redis.set_fsync("always")
            return stage.generator.run(load)

        return stage.cellar.process, measure

    ways = {"cellar npy": way("npy"), "cellar json": way("json")}
    found = interleave(stage.watch, f"sequences of {CASE.steps}, H {CASE.hidden}", ways, effort)
    rates = {name: series.rate * CASE.steps for name, series in found.items()}
    bar = Bar("sequence_npy", rates["cellar npy"], 500_000, means="steps a second on one core")
    remarks = [f"{name}: {rate:,.0f} steps a second" for name, rate in rates.items()]
    return Outcome(list(found.values()), [bar], remarks)


def prepare(cellar: Contestant) -> None:
    """Create the model and a session for each client."""
    contestants.create_model(cellar, MODEL, CASE)
    contestants.create_sessions(cellar, NAMES, MODEL)


def job(cellar: Contestant, form: Form, seconds: float) -> Job:
    """Return the load: each client sends the same sequence repeatedly."""
    inputs = np.random.default_rng(0).standard_normal((CASE.steps, CASE.in_size), np.float32)
    body, kind = json.dumps({"inputs": inputs.tolist()}).encode(), "application/json"
    if form == "npy":
        body, kind = _npy(inputs), "application/x-npy"
    clients = tuple((request(f"/v1/sessions/{name}/sequence", body, kind, kind),) for name in NAMES)
    return Job((cellar.port,), clients, seconds)


def _npy(array: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
