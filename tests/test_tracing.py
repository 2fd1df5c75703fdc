"""Traces of steps: real services send them to a collector, from the process that commits the steps."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import cellar
from cellar.errors import StartupError
from cellar.main import _start_traces
from cellar.metrics.traces import TRACES
from tests.e2e.conftest import private  # noqa: F401  # a fixture
from tests.e2e.replica import serving

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 2}]}

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

SESSIONS = 6
"""Sessions of two processes: all belong to one of them, which the client may be connected to, once in 32 runs."""


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """Run a collector; yield its URL, and the spans that it has received."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        """Takes spans in OTLP over HTTP."""

        def do_POST(self) -> None:
            """Keep the spans of a request."""
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", spans
        finally:
            server.shutdown()
            thread.join()


# a fixture, imported above:
def test_a_step_has_a_span_for_each_part_in_the_trace_of_its_client(private: dict[str, str]) -> None:  # noqa: F811
    with collector() as (url, spans):
        settings = {"CELLAR_TRACES": "true", "CELLAR_PROCESSES": "2", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with serving(private | settings) as service:
            with httpx.Client(base_url=service.url, timeout=60) as client:
                client.post("/v1/models", json={"name": "traced", "network": NETWORK}).raise_for_status()
                for number in range(SESSIONS):
                    client.post("/v1/sessions", json={"model": "traced", "session": f"s{number}"}).raise_for_status()
                    for headers in ({}, {"traceparent": f"00-{TRACE}-{PARENT}-01"}):
                        step = client.post(f"/v1/sessions/s{number}/step", json={"input": [1]}, headers=headers)
                        step.raise_for_status()
            assert service.stop() == 0  # and sends the rest
        steps = [span for span in spans if span.name == "cellar step"]
        assert len(steps) == 2 * SESSIONS
        assert sum(step.trace_id.hex() == TRACE and step.parent_span_id.hex() == PARENT for step in steps) == SESSIONS
        for step in steps:
            parts = [span for span in spans if span.parent_span_id == step.span_id]
            assert [part.name for part in sorted(parts, key=lambda part: part.start_time_unix_nano)] == [
                *("queue", "kernel", "commit"),
            ]
            assert all(part.trace_id == step.trace_id for part in parts)
            assert step.start_time_unix_nano == min(part.start_time_unix_nano for part in parts)
            assert step.end_time_unix_nano == max(part.end_time_unix_nano for part in parts)
            named = {each.key: each.value for each in step.attributes}
            assert named["cellar.session"].string_value in {f"s{number}" for number in range(SESSIONS)}
            assert named["cellar.steps"].int_value == 1


def test_without_opentelemetry_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cellar.tracing", raising=False)
    monkeypatch.delattr(cellar, "tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(StartupError, match=r"pip install 'cellar-serve\[opentelemetry\]'"):
        _start_traces()
    assert TRACES.record is None
