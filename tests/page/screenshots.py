"""Writes the pictures of the documentation: `python -m tests.page.screenshots` (`make screenshots`)."""

import math
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import expect

from tests.page.browser import WITHIN_MS, Operated, operated
from tests.page.service import Furnished, furnished

IMAGES = Path(__file__).parents[2] / "docs" / "images"

SESSION = "harbour/north"

STEPS = 96

WATCHED_S = 30
"""How long the overview is watched: its curves have a point every two seconds."""


def level(step: int) -> float:
    """Return the height of a tide at a step."""
    return round(0.6 * math.sin(step / 5) + 0.3 * math.sin(step / 11 + 1), 3)


def fill(service: Furnished) -> None:
    """Train a network on tides, and run a session with it."""
    network = {
        "in_size": 1,
        "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 32}, {"type": "dense", "out_size": 1}],
    }
    service.post("/v1/models", {"name": "harbour", "network": network, "seed": 1})
    series = [level(step) for step in range(400)]
    data = {"layout": "T", "inputs": series[:-1], "targets": series[1:]}
    for rate in (0.003, 0.01):
        optimiser = {"type": "adam", "learning_rate": rate}
        job = {"model": "harbour@1", "data": data, "epochs": 40, "validation": 0.2, "optimiser": optimiser}
        service.post("/v1/jobs", job)
    service.await_jobs()
    service.api.put("/v1/models/harbour/aliases/live", json={"version": 3}).raise_for_status()
    service.post(
        "/v1/sessions", {"session": SESSION, "model": "harbour@live", "events": 500, "log": 1000, "history": 50}
    )
    for step in range(STEPS):
        service.post("/v1/sessions/harbour%2Fnorth/step", {"input": [level(step)]})


def table() -> str:
    """Return a CSV of the water level and the wind of a harbour, for each hour of sixty days."""
    wind = [round(6 + 3 * math.sin(hour / 37) + math.sin(hour * hour), 1) for hour in range(1440)]
    water = [
        round(2 * math.sin(hour * math.pi / 12) + 0.5 * math.sin(hour / 90) + wind[hour] / 12, 2)
        for hour in range(1440)
    ]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    times = [(begin + timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M") for hour in range(1440)]
    return "\n".join(["at,water,wind", *(f"{times[hour]},{water[hour]},{wind[hour]}" for hour in range(1440))])


def take_forecast(page: Operated, service: Furnished) -> None:
    """Train a forecast on a table, and write the pictures of the job and the session."""
    query = {"name": "harbour", "targets": "water"}
    sent = service.api.post("/v1/datasets", params=query, content=table(), headers={"Content-Type": "text/csv"})
    sent.raise_for_status()
    page.visit("datasets/harbour", "harbour")
    expect(page.card("Columns")).to_contain_text("half of them")
    page.page.get_by_role("link", name="Train a forecast").click()
    expect(page.page.get_by_label("Target")).to_have_value("water")
    page.button("Train")
    expect(page.card("Forecasts of the held-out readings")).to_contain_text("were within", timeout=4 * WITHIN_MS)
    expect(page.page.locator(".toast")).to_be_empty()
    shoot(page, "job")
    page.button("Try a session")
    page.button("Forecast")
    expect(page.card("Forecast")).to_contain_text("in 24 steps")
    expect(page.page.locator(".toast")).to_be_empty()
    shoot(page, "forecast")


def shoot(page: Operated, name: str) -> None:
    """Write a picture of what the browser shows."""
    page.page.screenshot(path=IMAGES / f"{name}.png")


def take(page: Operated, service: Furnished) -> None:
    """Visit the views, and write their pictures."""
    page.visit("", "Sign in")
    page.page.get_by_label("API key").fill(service.key)
    page.button("Sign in")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.visit("sessions/harbour%2Fnorth", SESSION)
    page.page.get_by_label("over time").check()
    for step in range(STEPS, STEPS + 60):
        service.post("/v1/sessions/harbour%2Fnorth/step", {"input": [level(step)]})
        expect(page.card("Outputs")).to_contain_text(f"Step {step + 1}")
    shoot(page, "session")
    page.visit("", "Overview")
    latency, step = page.card("Steps").get_by_role("img", name="Latency of steps"), STEPS + 60
    until = time.monotonic() + WATCHED_S
    while time.monotonic() < until or not latency.is_visible():
        service.post("/v1/sessions/harbour%2Fnorth/step", {"input": [level(step := step + 1)]})
    shoot(page, "overview")
    page.visit("training", "Training")
    boxes = page.card("Jobs").get_by_role("checkbox")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    expect(page.card("Loss").get_by_text("of 40")).to_have_count(2)
    shoot(page, "training")
    page.visit("cells", "Cell editor")
    editor = page.page.get_by_label("Equations of the cell")
    editor.fill("k = sigmoid(b_k)\nh = k * h + (1 - k) * tanh(W @ x)")
    expect(page.card("What follows from them")).to_contain_text("b_k")
    editor.fill("k = sigmoid(b_k)\nh = k * h + (1 - k) * tanh(W @ y)")
    expect(page.page.locator("#cell-outcome")).to_contain_text("Line 2")
    shoot(page, "cells")
    take_forecast(page, service)


def main() -> None:
    """Run a service and a browser, and write the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="cellar-", dir="/tmp") as folder,
        furnished(Path(folder) / "data", Path(folder) / "kernels") as service,
    ):
        fill(service)
        with operated(service.replica.url) as page:
            take(page, service)


if __name__ == "__main__":
    main()
