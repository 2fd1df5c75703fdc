"""The examples for Prometheus and Grafana: checked by promtool, and used by a real Prometheus on a running service."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cellar.metrics.catalogue import METRICS
from tests.debian_packages import needs
from tests.e2e.conftest import private  # noqa: F401  # a fixture
from tests.e2e.replica import serving
from tests.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "cellar.json"
ALERTS = re.findall(r"alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text())

SERIES = {
    name
    for metric in METRICS
    for name in ([f"{metric.name}_{part}" for part in ("bucket", "sum", "count")] if metric.bounds else [metric.name])
}

OF_SLOW_MACHINES = {"CellarStepsSlow", "CellarCommitsSlow"}
"""Alerts about latencies, which the machine of the tests may have."""

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 3}]}


def promtool(*words: str | Path) -> None:
    """Run promtool, which must find nothing wrong."""
    found = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def expressions() -> list[str]:
    """Return the expressions of the dashboard, with values for Grafana's variables."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$instance", ".*") for each in found]


@needs("promtool", "prometheus")
def test_promtool_accepts_configuration_and_alerts_and_each_fires_when_it_should() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("test", "rules", PROMETHEUS / "alerts_test.yml")
    tested = (PROMETHEUS / "alerts_test.yml").read_text()
    for alert in ALERTS:
        assert f"name: {alert} fires" in tested
        assert f"alertname: {alert}, exp_alerts: []" in tested


def test_alerts_and_dashboard_use_metrics_that_there_are() -> None:
    for text in (*expressions(), (PROMETHEUS / "alerts.yml").read_text()):
        assert set(re.findall(r"\bcellar_\w+", text)) <= SERIES
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)


@contextmanager
def prometheus(directory: Path, service: str) -> Iterator[httpx.Client]:
    """Run Prometheus with the example for a service, with short intervals; yield a client of its API."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    text = text.replace("15s", "1s").replace("127.0.0.1:8080", httpx.URL(service).netloc.decode())
    (directory / "prometheus.yml").write_text(text)
    rules = re.sub(r"for: \d+m", "for: 0s", (PROMETHEUS / "alerts.yml").read_text())
    (directory / "alerts.yml").write_text(rules)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    with subprocess.Popen(
        ["prometheus", *options, f"--web.listen-address={address}", "--log.level=error"], stderr=subprocess.DEVNULL
    ) as process:
        try:
            with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
                yield client
        finally:
            process.terminate()


def value(client: httpx.Client, query: str) -> float | None:
    """Return the value of a query, None if it has none yet."""
    try:
        answer = client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:  # it has not started yet
        return None
    found = answer.json()["data"]["result"] if answer.is_success else []
    return float(found[0]["value"][1]) if found else None


def alerts(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the alert rules by name."""
    groups = client.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
    return {rule["name"]: rule for group in groups for rule in group["rules"]}


@needs("prometheus", "prometheus")
# a fixture, imported above:
def test_prometheus_scrapes_the_service_and_evaluates_the_alerts(private: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    with serving(private) as service, prometheus(tmp_path, service.url) as client:
        with httpx.Client(base_url=service.url, timeout=60) as user:
            user.post("/v1/models", json={"name": "pump", "network": NETWORK}).raise_for_status()
            user.post("/v1/sessions", json={"model": "pump", "session": "p"}).raise_for_status()
            for _ in range(20):
                user.post("/v1/sessions/p/step", json={"input": [1]}).raise_for_status()
        steps = 'sum(cellar_steps_total{outcome="committed"})'
        wait_until(lambda: value(client, steps) == 20, 60, "the steps were scraped")
        assert value(client, "cellar_step_seconds_count") == 20
        assert value(client, 'cellar_model_steps_total{tenant="default",model="pump"}') == 20
        assert value(client, 'up{job="cellar"}') == 1
        assert value(client, "scrape_samples_scraped") == value(client, "scrape_samples_post_metric_relabeling")
        for expression in expressions():
            answer = client.get("/api/v1/query", params={"query": expression})
            assert answer.json()["status"] == "success", expression
        wait_until(lambda: all(rule["health"] == "ok" for rule in alerts(client).values()), 60, "rules are evaluated")
        found = alerts(client)
        assert sorted(found) == sorted(ALERTS)
        assert {name for name, rule in found.items() if rule["state"] != "inactive"} <= OF_SLOW_MACHINES
        assert service.stop() == 0
        wait_until(lambda: alerts(client)["CellarDown"]["state"] == "firing", 60, "the alert fires")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_line_in_the_docs(alert: str) -> None:
    assert f"| `{alert}` |" in (ROOT / "docs" / "running.md").read_text()
