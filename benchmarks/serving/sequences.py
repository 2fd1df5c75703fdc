"""Sequences of 1,000 steps in one request, as npy and as JSON, of a model with 32 hidden units."""

import io
import json

import numpy as np

from benchmarks.cases import Case
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.http import request
from benchmarks.serving.load import Found, Job
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.rounds import Effort, Way, interleave
from benchmarks.serving.stage import Stage

CASE = Case("lstm", 8, 32, 1000, 1)

MODEL = "lstm-32"

CLIENTS = 8
"""So that the service always has one at hand while another waits for the disk."""

NPY = "application/x-npy"


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure steps a second on the service's one core."""
    names = [f"sequence-{index}" for index in range(CLIENTS)]
    stage.cellar.process.thaw()
    contestants.create_model(stage.cellar, MODEL, CASE)
    contestants.create_sessions(stage.cellar, names, MODEL)
    inputs = np.random.default_rng(0).standard_normal((CASE.steps, CASE.in_size), np.float32)
    bodies = {
        "npy": (_npy(inputs), NPY),
        "json": (json.dumps({"inputs": inputs.tolist()}).encode(), "application/json"),
    }

    def way(form: str) -> Way:
        body, kind = bodies[form]
        requests = tuple((request(f"/v1/sessions/{name}/sequence", body, kind, kind),) for name in names)

        def measure() -> Found:
            stage.redis.set_fsync("always")
            return stage.generator.run(Job((stage.cellar.port,), requests, effort.sample_s))

        return stage.cellar.process, measure

    title = f"sequences of {CASE.steps}, H {CASE.hidden}"
    found = interleave(stage.watch, title, {f"cellar {form}": way(form) for form in bodies}, effort)
    rates = {name: series.rate * CASE.steps for name, series in found.items()}
    bar = Bar("sequence_npy", rates["cellar npy"], 500_000, means="steps a second on one core")
    remarks = [f"{name}: {rate:,.0f} steps a second" for name, rate in rates.items()]
    return Outcome(list(found.values()), [bar], remarks)


def _npy(array: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
