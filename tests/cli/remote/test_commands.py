"""The commands that talk to a service, which all tests of this module share."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cellar.cli.commands import MISTAKE, main
from tests.e2e.replica import environment, serving

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, {"type": "dense", "out_size": 1}],
}

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def url(redis_url: str, kernel_directory: Path) -> Iterator[str]:
    """Yield the URL of a service."""
    prefix = f"test-{uuid.uuid4().hex}"
    settings = environment(redis_url=redis_url, key_prefix=prefix, cache_dir=str(kernel_directory))
    with serving(settings) as service:
        yield service.url


@pytest.fixture
def model(url: str) -> str:
    """Return the name of a new model, with two sessions of names that begin with it."""
    name = f"m{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=url, timeout=60) as http:
        http.post("/v1/models", json={"name": name, "network": NETWORK}).raise_for_status()
        for number in (1, 2):
            http.post("/v1/sessions", json={"session": f"{name}-{number}", "model": name}).raise_for_status()
    return name


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command with --json, and returns the document that it prints."""
    monkeypatch.setenv("CELLAR_URL", url)

    def run(*words: str) -> Any:
        """Run a command."""
        code = main([*words, "--json"])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        return json.loads(captured.out)

    return run


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that cannot do what it is asked for, and return the line that says why."""
    assert main(list(words)) == MISTAKE
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line


def test_status_counts_models_and_sessions(run: Run, model: str) -> None:
    found = run("status")
    assert found["ready"]
    assert found["models"] >= 1
    assert found["sessions"] >= 2
    assert found["store"]["maxmemory_policy"] == "noeviction"


def test_models_are_listed_shown_and_deleted(run: Run, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line["model"] for line in run("models", "list", "--prefix", model)["models"]] == [f"{model}@1"]
    assert run("models", "show", model)["in_size"] == 1
    assert "has dependents" in refused(capsys, "models", "delete", model, "--yes")
    assert "repeat the command with --yes" in refused(capsys, "models", "delete", model, "--force")
    assert run("models", "delete", model, "--force", "--yes") == {"deleted": model}
    assert f"no model '{model}'" in refused(capsys, "models", "show", model)


def test_sessions_are_listed_shown_and_deleted(run: Run, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run("sessions", "list", "--prefix", f"{model}-")["sessions"]) == 2
    assert run("sessions", "show", f"{model}-1")["step"] == 0
    assert run("sessions", "delete", "--prefix", f"{model}-", "--dry-run")["matched"] == 2
    assert "repeat the command with --yes" in refused(capsys, "sessions", "delete", "--model", model)
    assert "--prefix" in refused(capsys, "sessions", "delete", "--yes")
    assert run("sessions", "delete", f"{model}-1", "--yes") == {"deleted": 1}
    assert run("sessions", "delete", "--model", model, "--yes")["deleted"] == 1
    assert run("sessions", "list", "--prefix", f"{model}-")["sessions"] == []


def test_rates_are_those_between_two_readings(run: Run, model: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def step_thrice(_seconds: float) -> None:
        """Step a session in the pause between the readings."""
        for _ in range(3):
            httpx.post(f"{url}/v1/sessions/{model}-2/step", json={"input": [1]}).raise_for_status()

    monkeypatch.setattr("cellar.cli.remote.watch.time.sleep", step_thrice)
    first, second = run("ps", "--prefix", f"{model}-")["sessions"]
    assert (first["session"], first["step"], second["steps_per_s"]) == (f"{model}-2", 3, 0)
    assert first["steps_per_s"] > 0


def test_a_file_goes_out_and_comes_in(run: Run, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.safetensors"
    size = run("export", model, "--output", str(file))["bytes"]
    assert file.stat().st_size == size
    assert "--force" in refused(capsys, "export", model, "--output", str(file))
    assert "cannot write" in refused(capsys, "export", model, "--output", str(tmp_path / "no" / "file"))
    assert run("import", str(file), "--name", f"{model}-again")["model"] == f"{model}-again@1"
    assert [each.name for each in tmp_path.iterdir()] == ["out.safetensors"]


def test_a_dataset_is_added_shown_and_deleted(
    run: Run, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "readings.csv"
    file.write_text("time,room,temp\n2024-03-01,hall,20.5\n2024-03-02,hall,?\n")
    asked = ("datasets", "add", str(file), "--name", model, "--targets", "temp", "--series", "room")
    assert (run(*asked)["rows"], run(*asked)["series"]) == (2, 1)
    assert run("datasets", "show", model)["statistics"][2]["missing"] == 1
    assert model in [each["dataset"] for each in run("datasets", "list")["datasets"]]
    assert main(["datasets", "export", model]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["2024-03-01T00:00:00Z,hall,20.5", "2024-03-02T00:00:00Z,hall,"]
    assert "query parameter format" in refused(capsys, "datasets", "export", model, "--format", "xls")
    file.write_text("temp\n1\n2\nwarm\n")
    assert "row 4, column \"temp\": 'warm' is not a number" in refused(capsys, "datasets", "add", str(file))
    assert "did you mean" in refused(capsys, *asked, "--set", "timezon=UTC")
    assert "its name ends with none of" in refused(capsys, "datasets", "add", "readings.xls")
    assert "repeat the command with --yes" in refused(capsys, "datasets", "delete", model)
    assert run("datasets", "delete", model, "--yes") == {"deleted": model}
    assert "no dataset" in refused(capsys, "datasets", "show", model)


def test_a_job_is_submitted_cancelled_and_deleted(
    run: Run, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No worker runs, so that the job stays queued."""
    values = [[(number % 7) / 7] for number in range(60)]
    (tmp_path / "x.json").write_text(json.dumps(values))
    (tmp_path / "y.csv").write_text("value\n" + "\n".join(str(value) for [value] in values))
    data = ("--inputs", str(tmp_path / "x.json"), "--targets", str(tmp_path / "y.csv"))
    submitted = run("train", model, *data, "--set", "epochs=1", "--no-wait", "--key", model)
    job = submitted["job"]
    assert run("train", model, *data, "--set", "epochs=1", "--no-wait", "--key", model)["job"] == job
    assert (submitted["state"], submitted["training"]["epochs"]) == ("queued", 1)
    assert job in [each["job"] for each in run("jobs", "list", "--state", "queued")["jobs"]]
    assert "cancel it" in refused(capsys, "jobs", "delete", job, "--yes")
    assert run("jobs", "cancel", job)["state"] == "cancelled"
    assert main(["jobs", "wait", job, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"
    assert run("jobs", "delete", "--model", model, "--dry-run")["jobs"] == [job]
    assert run("jobs", "delete", "--model", model, "--older-than-s", "3600", "--yes")["jobs"] == []
    assert "repeat the command with --yes" in refused(capsys, "jobs", "delete", job)
    assert "--state" in refused(capsys, "jobs", "delete", "--yes")
    assert run("jobs", "delete", "--model", model, "--state", "cancelled", "--yes")["deleted"]
    assert "no job" in refused(capsys, "jobs", "show", job)


def test_a_sweep_is_begun_by_a_request_and_takes_trials(
    run: Run, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No worker runs, so that the trials wait."""
    job = {"model": model, "data": {"layout": "T", "inputs": [0, 1, 0], "targets": [1, 0, 1]}, "epochs": 1}
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"job": job, "search": {"type": "external"}, "publish": None}))
    sweep = run("sweep", "start", "--request", str(file))["sweep"]
    assert run("sweep", "add", sweep, "seed=2", "--no-wait")["parameters"] == {"seed": 2}
    assert "cannot be" in refused(capsys, "sweep", "add", sweep, "batch_size=0")
    assert "expected FIELD=VALUE" in refused(capsys, "sweep", "add", sweep, "seed")
    assert run("sweep", "finish", sweep)["state"] == "running"
    assert "no further trials" in refused(capsys, "sweep", "add", sweep, "seed=3")
    assert run("sweep", "cancel", sweep)["state"] == "cancelled"
    assert "--request alone" in refused(capsys, "sweep", "start", model, "--request", str(file))
    assert "or --request FILE" in refused(capsys, "sweep", "start", model)
    file.write_text("[")
    assert "is not JSON" in refused(capsys, "sweep", "start", "--request", str(file))


def test_data_that_cannot_be_trained_on_are_refused(
    run: Run, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "show", model)["model"] == f"{model}@1"
    (tmp_path / "x.json").write_text("[[0], [1], [0], [1]]")
    data = ("--inputs", str(tmp_path / "x.json"), "--targets", str(tmp_path / "x.json"))
    assert "did you mean `epochs`" in refused(capsys, "train", model, *data, "--set", "epochz=1")
    assert "expected FIELD=VALUE" in refused(capsys, "train", model, *data, "--set", "epochs")
    (tmp_path / "x.json").write_text("[")
    assert "holds no numbers" in refused(capsys, "train", model, *data)
    (tmp_path / "x.json").unlink()
    assert "cannot be read" in refused(capsys, "train", model, *data)


def test_a_measurement_leaves_nothing_behind(run: Run) -> None:
    before = {line["name"] for line in run("models", "list")["models"]}
    found = run("bench", "--seconds", "0.1")
    assert found["step_p50_ms"] <= found["step_p99_ms"]
    assert min(found["bulk_steps_per_s"], found["sequence_steps_per_s"]) > 0
    assert {line["name"] for line in run("models", "list")["models"]} == before
    assert run("sessions", "list", "--prefix", "bench-")["sessions"] == []


def test_a_session_is_forecast(run: Run, url: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    # the value is of that kind here
    layers = [*NETWORK["layers"], {"type": "forecast", "targets": [{"name": "temp"}]}]  # type: ignore[misc]
    with httpx.Client(base_url=url, timeout=60) as http:
        http.post(
            "/v1/models", json={"name": f"{model}-f", "network": {**NETWORK, "layers": layers}}
        ).raise_for_status()
        http.post("/v1/sessions", json={"session": f"{model}-f", "model": f"{model}-f"}).raise_for_status()
        http.post(f"/v1/sessions/{model}-f/step", json={"input": [1]}).raise_for_status()
    found = run("forecast", f"{model}-f", "--horizon", "3")
    assert len(found["targets"]["temp"]["point"]) == found["horizon"] == 3
    assert main(["forecast", f"{model}-f", "--horizon", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["temp", "STEP", "1", "2", "3"]
    assert "/quantiles" in refused(capsys, "forecast", f"{model}-f", "--quantile", "0.5")
