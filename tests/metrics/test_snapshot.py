"""Snapshots are summed over the processes of a service, and counters never decrease."""

import marshal
import os
import subprocess
import sys

import pytest

from cellar.machine import children_of, resident_bytes
from cellar.metrics.catalogue import METRICS
from cellar.metrics.counts import MOST_MODELS, OTHERS, ProcessCounts
from cellar.metrics.process_metrics import ProcessMetrics
from cellar.metrics.shared_page import SharedPage
from cellar.metrics.snapshot import Series, Snapshot, add, counters_of, merged

OPENED = "cellar_sessions_opened_total"
STEPS = "cellar_model_steps_total"


def ended_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_every_metric_is_read_from_the_counts_or_is_a_gauge_or_of_the_service() -> None:
    counters = {metric.name for metric in METRICS if metric.kind != "gauge" and metric.is_summed}
    assert counters_of(ProcessCounts()).keys() == counters
    for metric in METRICS:
        assert metric.name.startswith("cellar_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.bounds) == (metric.kind == "histogram")


def test_a_process_continues_the_counters_of_the_one_before_it() -> None:
    with SharedPage.create(2) as page:
        for opened in (3, 4):
            counts = ProcessCounts()
            process = ProcessMetrics("api 0", page, 0, counts)
            counts.sessions_opened += opened
            counts.total_s.add(0.003)
            counts.model("acme", "co2@2").steps += 10
            process.publish()
        other = ProcessMetrics("api 1", page, 1, ProcessCounts())
        total = merged(other.all())
        assert total[OPENED] == {(): 7}
        assert total[STEPS] == {("acme", "co2"): 20}
        histogram = total["cellar_step_seconds"][()]
        assert isinstance(histogram, tuple)
        assert histogram[0] == pytest.approx(0.006)
        assert sum(histogram[1:]) == 2


def test_gauges_are_those_of_living_processes() -> None:
    ended = Snapshot("api 0", ended_process(), 1.0, 5, {OPENED: {(): 2}}, {"cellar_websockets": 3})
    with SharedPage.create(1) as page:
        process = ProcessMetrics("api 1", page, 0, ProcessCounts())
        process.gauges = lambda: {"cellar_websockets": 4}
        total = merged([ended, process.snapshot(), process.snapshot()])
    assert total["cellar_websockets"] == {(): 8}
    assert total[OPENED] == {(): 2}
    assert list(total["cellar_process_resident_memory_bytes"]) == [("api 1",)]


def test_a_worker_is_shown_with_the_memory_of_its_job() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as job:
        worker = Snapshot.of(Snapshot("worker", os.getpid(), 1.0, None).to_bytes())
        assert job.pid in children_of(os.getpid())
        assert worker.memory_bytes > resident_bytes(str(job.pid)) > 0
        job.communicate(b"\n")


def test_what_another_version_has_counted_otherwise_is_left_out() -> None:
    total: Series = {OPENED: {(): 1}}
    histogram = "cellar_step_seconds"
    add(total, {OPENED: {("label",): 5, (): 2}, "cellar_unknown_total": {(): 1}, histogram: {(): (1.0, 2)}, STEPS: {}})
    assert total == {OPENED: {(): 3}, histogram: {}, STEPS: {}}


def test_a_snapshot_is_read_as_it_was_written() -> None:
    counts = ProcessCounts()
    counts.refuse("step_taken")
    snapshot = ProcessMetrics("worker", None, 0, counts).snapshot()
    assert Snapshot.of(snapshot.to_bytes()) == snapshot
    with pytest.raises(TypeError):
        Snapshot.of(marshal.dumps(("other",)))


def test_models_after_the_first_hundred_are_counted_together() -> None:
    counts = ProcessCounts()
    for number in range(MOST_MODELS + 20):
        for version in (1, 2):
            counts.model("acme", f"model-{number}@{version}").steps += 1
    assert len(counts.models) == MOST_MODELS + 1
    assert counts.models["acme", "model-0"].steps == 2
    assert counts.models[OTHERS, OTHERS].steps == 40
