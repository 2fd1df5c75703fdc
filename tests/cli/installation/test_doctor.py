"""`cellar doctor` and `cellar settings`: each fault is found, with its mend, and nothing secret is shown."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from cellar.cli.commands import main
from tests.redis_process import RedisProcess


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the installation directories of its own, and a port that is free."""
    monkeypatch.setenv("CELLAR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setenv("CELLAR_PORT", "0")


def examine(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and the last finding of each check."""
    code = main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, {each["check"]: each for each in findings}


def test_an_installation_that_was_never_started_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examine(capsys)
    assert code == 0
    assert {name for name, each in found.items() if each["state"] == "fault"} == set()
    assert found["kernel cache"]["mend"].startswith("`cellar warm`")
    assert "does not run" in found["redis"]["found"]
    assert list(tmp_path.iterdir()) == []


def test_faults_come_with_their_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kernels").mkdir(mode=0o777)
    (tmp_path / "kernels").chmod(0o777)
    monkeypatch.setenv("CELLAR_REDIS_URL", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("CELLAR_PROT", "1")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        monkeypatch.setenv("CELLAR_PORT", str(other.getsockname()[1]))
        monkeypatch.setattr("cellar.cli.remote.connection.TIMEOUT_S", 0.1)
        code, found = examine(capsys)
    assert code == 1
    mends = {name: each["mend"] for name, each in found.items() if each["state"] == "fault"}
    assert {*mends} == {"port", "CELLAR_CACHE_DIR", "redis"} or {*mends} == {
        "port",
        "CELLAR_CACHE_DIR",
        "redis",
        "kernels",
    }
    assert mends["CELLAR_CACHE_DIR"] == f"chmod 700 {tmp_path}/kernels"
    assert "CELLAR_PORT" in mends["port"]
    assert "CELLAR_REDIS_URL" in mends["redis"]


def test_a_setting_that_is_not_allowed_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CELLAR_PORT", "99999")
    code, found = examine(capsys)
    assert (code, list(found)) == (1, ["settings"])


def test_a_redis_that_loses_sessions_is_found(
    redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis_process.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
    monkeypatch.setenv("CELLAR_REDIS_URL", redis_process.url)
    code, found = examine(capsys)
    assert code == 1
    assert "noeviction" in found["redis"]["mend"]
    assert found["persistence"]["state"] == "warning"
    assert found["clock"]["state"] == "ok"


def test_settings_have_unit_default_and_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CELLAR_REDIS_URL", "redis://me:hidden@localhost/0")
    monkeypatch.setenv("CELLAR_KEY_PEPPER", "a pepper that is hidden")
    monkeypatch.setenv("CELLAR_PROCESES", "2")
    assert main(["settings", "--json"]) == 0
    text = capsys.readouterr().out
    assert "hidden" not in text
    document = json.loads(text)
    assert document["unknown"] == [
        "the environment variable CELLAR_PROCESES is no setting; did you mean 'CELLAR_PROCESSES'?"
    ]
    rows = {row["setting"]: row for row in document["settings"]}
    port = rows["CELLAR_PORT"]
    assert (port["value"], port["default"], port["source"]) == (0, "8080", "environment")
    drain = rows["CELLAR_DRAIN_S"]
    assert (drain["unit"], drain["value"], drain["source"]) == ("seconds", 20, "default")
    assert main(["settings"]) == 0
    captured = capsys.readouterr()
    assert "CELLAR_PROCESSES" in captured.err
    assert "hidden" not in captured.out
