"""Metrics as text: in the format of Prometheus, version 0.0.4, and in OpenMetrics, version 1.0.0.

https://prometheus.io/docs/instrumenting/exposition_formats, https://prometheus.io/docs/specs/om/open_metrics_spec
"""

from collections.abc import Iterator, Mapping

from cellar.metrics.catalogue import METRICS, Labels, Metric, Samples, Value

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def as_text(series: Mapping[str, Samples], *, open_metrics: bool = False) -> str:
    """Return metrics in the order of the table. Those without a series are left out."""
    lines = [line for metric in METRICS for line in _lines(metric, series.get(metric.name, {}), open_metrics)]
    return "\n".join([*lines, *(["# EOF"] if open_metrics else []), ""])


def _lines(metric: Metric, samples: Samples, open_metrics: bool) -> Iterator[str]:
    if not samples:
        return
    family, kind = metric.name, str(metric.kind)
    if open_metrics and kind == "counter":
        family = family.removesuffix("_total")
    elif open_metrics and family.endswith("_info"):
        family, kind = family.removesuffix("_info"), "info"
    yield f"# HELP {family} {_escaped(metric.text, quotes=open_metrics)}"
    yield f"# TYPE {family} {kind}"
    for labels, value in sorted(samples.items()):
        yield from _sample(metric, labels, value)


def _sample(metric: Metric, labels: Labels, value: Value) -> Iterator[str]:
    named = [f'{name}="{_escaped(text, quotes=True)}"' for name, text in zip(metric.labels, labels, strict=True)]
    if not isinstance(value, tuple):
        yield f"{metric.name}{_braces(named)} {_number(value)}"
        return
    total, *counts = value
    number = 0.0
    for bound, count in zip((*metric.bounds, float("inf")), counts, strict=True):
        number += count
        yield f"{metric.name}_bucket{_braces([*named, _bound(bound)])} {_number(number)}"
    yield f"{metric.name}_sum{_braces(named)} {_number(total)}"
    yield f"{metric.name}_count{_braces(named)} {_number(number)}"


def _bound(bound: float) -> str:
    return 'le="+Inf"' if bound == float("inf") else f'le="{bound!r}"'


def _braces(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str, *, quotes: bool) -> str:
    found = text.replace("\\", "\\\\").replace("\n", "\\n")
    return found.replace('"', '\\"') if quotes else found
