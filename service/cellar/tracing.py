"""Traces of steps in OpenTelemetry: a span for each step, with one for each part: queue, kernel and commit.

Spans are made when a step is committed, from the times that are measured anyway: without tracing a step costs one
comparison more. A request with the header `traceparent` (W3C Trace Context) continues the trace of its client.
"""

import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cellar import __version__
from cellar.metrics.traces import TRACES

SERVICE = "cellar"
"""The name of the service in traces, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says another."""


def start() -> None:
    """Send traces from now on, as the OTEL_* variables say, until `TRACES.end` is called."""
    provider = TracerProvider(resource=Resource({SERVICE_NAME: SERVICE}).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    TRACES.record, TRACES.end = Recorder(provider), provider.shutdown


class Recorder:
    """Makes the spans of committed steps."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SERVICE, __version__)
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, request: Any, kernel_s: float, commit_s: float, ended_s: float) -> None:
        """Make the spans of a request for steps; the times are those of the monotonic clock at which its parts began.

        `ended_s` is when the commit ended.
        """
        command, came_s = request.command, request.began_s
        epoch_s = time.time() - time.monotonic()
        given = {} if command.traceparent is None else {"traceparent": command.traceparent}
        attributes = {"cellar.tenant": command.session.tenant, "cellar.session": command.session.session}
        step = self._tracer.start_span(
            f"cellar {command.kind}",
            self._propagator.extract(given),
            SpanKind.SERVER,
            attributes | {"cellar.steps": len(command.inputs)},
            start_time=_ns(epoch_s + came_s),
        )
        inside = set_span_in_context(step)
        for name, began_s, end_s in (
            ("queue", came_s, kernel_s),
            ("kernel", kernel_s, commit_s),
            ("commit", commit_s, ended_s),
        ):
            part = self._tracer.start_span(name, inside, start_time=_ns(epoch_s + began_s))
            part.end(_ns(epoch_s + end_s))
        step.end(_ns(epoch_s + ended_s))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
