"""From a file of readings to a live forecast in raw units over HTTP, as a user writes it."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.replica import Replica, environment, serving

MOST_LINES = 10

TIME_S = 300
"""The longest time of a training, seconds: its kernels are compiled first, beside other tests."""

pytestmark = pytest.mark.timeout(TIME_S + 60)

LINES = """
import httpx, time
http = httpx.Client(base_url=URL, timeout=60)
http.post("/v1/datasets", params={"name": "readings"}, headers={"Content-Type": "text/csv"}, content=open(FILE, "rb"))
data = {"dataset": "readings", "targets": ["temp"], "horizon": 24}
job = http.post("/v1/jobs", json={"model": "temp", "data": data}).json()
while (job := http.get(f"/v1/jobs/{job['job']}").json())["ended"] is None: time.sleep(0.2)
http.post("/v1/sessions", json={"session": "live", "model": "temp", "warm_up": {"dataset": "readings"}})
http.post("/v1/sessions/live/step", json={"input": [14.2, 0.1]})
print(http.post("/v1/sessions/live/forecast", json={"quantiles": [0.1, 0.9]}).text)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, kernel_directory: Path) -> Iterator[Replica]:
    """Yield a service with a worker."""
    directory = tmp_path_factory.mktemp("data")
    with serving(environment(data_dir=str(directory), cache_dir=str(kernel_directory))) as replica:
        yield replica


def true_value(hour: int) -> float:
    """Return the value of a series with a day and a slow wave, and a little noise."""
    return 15 + 5 * math.sin(hour * math.pi / 12) + 3 * math.sin(hour / 60) + math.sin(hour * hour) / 5


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of hourly readings, with gaps."""
    path = tmp_path_factory.mktemp("readings") / "readings.csv"
    lines = ["at,temp,volts"]
    for hour in range(600):
        cell = "" if hour % 97 == 5 else f"{true_value(hour):.3f}"
        lines.append(f"2026-01-{1 + hour // 24:02} {hour % 24:02}:00,{cell},{math.cos(hour * hour):.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ten_lines_lead_from_a_file_to_a_live_forecast(service: Replica, readings: Path) -> None:
    assert len(LINES.strip().splitlines()) <= MOST_LINES
    known = f"URL, FILE = {service.url!r}, {str(readings)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", known + LINES], check=False, capture_output=True, text=True, timeout=TIME_S
    )
    assert done.returncode == 0, done.stderr
    target = json.loads(done.stdout)["targets"]["temp"]
    assert len(target["point"]) == 24
    assert all(0 < value < 30 for value in target["point"])
    low, high = target["quantiles"]["0.1"], target["quantiles"]["0.9"]
    assert all(below < above for below, above in zip(low, high, strict=True))


def test_the_command_says_what_was_chosen_and_how_much_better_it_is(
    service: Replica, readings: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "losses.png"
    command = [sys.executable, "-m", "cellar.cli", "train", str(readings), "--target", "temp", "--horizon", "6"]
    settings = environment(url=service.url)
    done = subprocess.run(
        [*command, "--model", "hall", "--plot", str(picture)],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIME_S,
        env=settings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "period = 24\n    The target repeats after 24 steps: that is a day." in done.stdout
    assert "better than repeating the last value" in done.stdout
    assert "published hall@1" in done.stdout
    assert f"curl -s {service.url}/v1/sessions/live/forecast" in done.stdout
    requests = re.findall(r"/v1/sessions(\S*) --json '(.*)'", done.stdout)
    assert [path for path, _ in requests] == ["", "/live/forecast", "/live/step"]
    found = [
        httpx.post(f"{service.url}/v1/sessions{path.replace('live', 'hall')}", json=json.loads(body) | name)
        for (path, body), name in zip(requests, ({"session": "hall"}, {}, {}), strict=True)
    ]
    assert [each.status_code for each in found] == [201, 200, 200]
    forecasts = found[1].json()["targets"]["temp"]["point"]
    truth = [true_value(600 + step) for step in range(6)]
    assert max(abs(one - other) for one, other in zip(forecasts, truth, strict=True)) < 3
    assert len(found[2].json()["output"]) == 6
    assert picture.read_bytes().startswith(b"\x89PNG")
