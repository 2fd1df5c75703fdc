"""Metrics as text, which Prometheus' own tool checks."""

import subprocess

from cellar.metrics.counts import ProcessCounts
from cellar.metrics.exposition import as_text
from cellar.metrics.process_metrics import ProcessMetrics
from cellar.metrics.snapshot import Series, merged
from tests.debian_packages import needs


def series() -> Series:
    """Return some metrics, one of which has a label that must be escaped."""
    counts = ProcessCounts()
    counts.model("acme", 'a "b" \\ c\nd').steps += 3
    for value in (0.0001, 0.003, 99.0):
        counts.total_s.add(value)
    return merged([ProcessMetrics("api", None, 0, counts).snapshot()]) | {"cellar_build_info": {("1", "pure"): 1}}


def test_counts_of_buckets_are_cumulative_and_labels_are_escaped() -> None:
    lines = as_text(series()).splitlines()
    assert 'cellar_model_steps_total{tenant="acme",model="a \\"b\\" \\\\ c\\nd"} 3' in lines
    assert "# TYPE cellar_model_steps_total counter" in lines
    buckets = [line.split()[1] for line in lines if line.startswith("cellar_step_seconds_bucket")]
    assert (buckets[0], buckets[5], buckets[-2], buckets[-1]) == ("1", "2", "2", "3")
    assert "cellar_step_seconds_count 3" in lines
    assert "cellar_step_seconds_sum 99.0031" in lines


def test_open_metrics_names_families_without_suffixes_and_has_an_end() -> None:
    lines = as_text(series(), open_metrics=True).splitlines()
    assert lines[-1] == "# EOF"
    assert "# TYPE cellar_model_steps counter" in lines
    assert "# TYPE cellar_build info" in lines
    assert 'cellar_build_info{version="1",build="pure"} 1' in lines


@needs("promtool", "prometheus")
def test_promtool_accepts_names_types_and_help() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=as_text(series()), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
