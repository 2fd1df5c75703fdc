"""`cellar backup` and `restore`: sessions continue with the same bits in another installation."""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cellar.cli.commands import MISTAKE, main
from tests.e2e.replica import environment, serving

LAYERS = [{"type": "recurrent", "cell": "gru", "hidden_size": 4}, {"type": "dense", "out_size": 1}]
NETWORK = {"in_size": 1, "layers": LAYERS}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "logged": {"log": 50, "history": 5, "events": 5},
    "od}d %name": {"pinned": True},
}
"""Sessions that are not stepped while the backup is written, and their options."""


class Installation:
    """An installation on the Redis of the tests, with a prefix of its own."""

    def __init__(self, redis_url: str, directory: Path) -> None:
        self.settings = {"redis_url": redis_url, "key_prefix": f"test-{uuid.uuid4().hex}"}
        self.settings |= {"data_dir": str(directory / self.settings["key_prefix"])}

    def run(self, *words: str) -> int:
        """Run a command with the settings of this installation."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("CELLAR_")]:
                patch.delenv(name)
            for name, value in self.settings.items():
                patch.setenv(f"CELLAR_{name.upper()}", value)
            return main([*words])


def step(http: httpx.Client, session: str, number: int) -> dict[str, Any]:
    """Step a session with an input that depends on the number, and return the answer."""
    path = f"/v1/sessions/{session.replace('%', '%25').replace('}', '%7D').replace(' ', '%20')}/step"
    answer = http.post(path, json={"input": [number % 5 / 5]})
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


class Busy:
    """Steps a session again and again while a backup is written, and keeps its outputs by step."""

    def __init__(self, http: httpx.Client) -> None:
        self.outputs: dict[int, Any] = {}
        self._http = http
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Busy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.step()

    def step(self) -> None:
        """Step once."""
        answer = step(self._http, "busy", len(self.outputs) + 1)
        self.outputs[answer["step"]] = answer["output"]


@pytest.fixture
def other(redis_url: str, tmp_path: Path) -> Installation:
    """Return an installation without data."""
    return Installation(redis_url, tmp_path)


@pytest.fixture(scope="module")
def source(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return the installation that is backed up."""
    return Installation(redis_url, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def served(source: Installation, kernel_directory: Path) -> Iterator[httpx.Client]:
    """Yield a client of a service of that installation, with a model and sessions."""
    with (
        serving(environment(**source.settings, cache_dir=str(kernel_directory))) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
    ):
        http.post("/v1/models", json={"name": "gru", "network": NETWORK}).raise_for_status()
        for name, options in (OPTIONS | {"busy": {}}).items():
            body = {"session": name, "model": "gru", **options}
            http.post("/v1/sessions", json=body).raise_for_status()
        for name in OPTIONS:
            for number in range(3):
                step(http, name, number)
        http.put("/v1/models/gru/aliases/live", json={"version": 1}).raise_for_status()
        http.post("/v1/sessions/logged/snapshots", json={"snapshot": "first"}).raise_for_status()
        yield http


def test_sessions_continue_with_the_same_bits_in_another_installation(
    source: Installation,
    served: httpx.Client,
    other: Installation,
    kernel_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(tmp_path / "all.cellar")
    other.settings["blob_dir"] = str(tmp_path / "blobs")
    with Busy(served) as busy:
        assert source.run("backup", file, "--json") == 0
    busy.step()
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["sessions"], counts["blobs"]) == (4, 1)
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert other.run("restore", file) == 0
    assert other.run("restore", file) == MISTAKE
    assert "--replace deletes them first" in capsys.readouterr().err
    assert other.run("restore", file, "--replace", "--yes") == 0
    with (
        serving(environment(**other.settings, cache_dir=str(kernel_directory))) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
    ):
        listed = [http.get("/v1/sessions", params={"model": "gru"}).json() for http in (served, http)]
        names = [{each["session"] for each in page["sessions"]} for page in listed]
        assert names[0] == names[1] == {*OPTIONS, "busy"}
        for name in OPTIONS:
            assert step(http, name, 7) == step(served, name, 7)
        for path in ("log", "history", "snapshots"):
            before, after = (each.get(f"/v1/sessions/logged/{path}").json() for each in (served, http))
            assert before == after
        answer = step(http, "busy", http.get("/v1/sessions/busy").json()["step"] + 1)
        assert answer["output"] == busy.outputs[answer["step"]]
        assert http.delete("/v1/models/gru").status_code == 409


def test_one_session_is_added_to_a_running_installation(
    source: Installation,
    served: httpx.Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(tmp_path / "one.cellar")
    http = served
    http.post("/v1/sessions", json={"session": "one", "model": "gru"}).raise_for_status()
    step(http, "one", 1)
    assert source.run("backup", file, "--session", "one") == 0
    expected = [step(http, "one", number) for number in (2, 3)]
    assert source.run("restore", file) == MISTAKE
    assert "the session default/one exists" in capsys.readouterr().err
    assert source.run("restore", file, "--replace", "--yes") == 0
    regressed = http.post("/v1/sessions/one/step", json={"input": [0.4]})  # the service had seen later steps
    assert (regressed.status_code, regressed.json()["type"].rpartition(":")[2]) == (409, "regressed")
    assert [step(http, "one", number) for number in (2, 3)] == expected
    http.delete("/v1/sessions/one").raise_for_status()
    assert source.run("restore", file, "--replace", "--yes") == 0
    assert [step(http, "one", number) for number in (2, 3)] == expected
    http.delete("/v1/sessions/one").raise_for_status()


def test_a_model_comes_back_under_its_numbers(
    source: Installation,
    served: httpx.Client,
    other: Installation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(tmp_path / "model.cellar")
    assert source.run("backup", file, "--model", "gru") == 0
    assert other.run("restore", file) == 0
    assert other.run("restore", file) == 0
    assert other.run("backup", str(tmp_path / "again.cellar"), "--model", "gru") == 0
    assert "1 aliases, 1 blobs, 1 versions" in capsys.readouterr().out.splitlines()[-1]
    network = {**NETWORK, "layers": [{**LAYERS[0], "hidden_size": 3}, LAYERS[1]]}
    served.post("/v1/models", json={"name": "other", "network": network}).raise_for_status()
    assert source.run("backup", file, "--model", "other", "--force") == 0
    served.delete("/v1/models/other").raise_for_status()
    assert source.run("restore", file) == MISTAKE
    assert "another version other@1" in capsys.readouterr().err


def test_a_tenant_is_added_to_another_installation(
    source: Installation,
    served: httpx.Client,
    other: Installation,
    kernel_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(tmp_path / "tenant.cellar")
    for tenant, count in (("default", 4), ("nobody", 0)):
        assert source.run("backup", file, "--tenant", tenant, "--force", "--json") == 0
        assert json.loads(capsys.readouterr().out)["counts"].get("sessions", 0) == count
    assert source.run("backup", file, "--tenant", "default", "--force") == 0
    with (
        serving(environment(**other.settings, cache_dir=str(kernel_directory))) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
    ):
        assert other.run("restore", file) == 0
        names = {each["session"] for each in http.get("/v1/sessions").json()["sessions"]}
        assert names == {*OPTIONS, "busy"}
        for name in OPTIONS:
            paths = [f"/v1/sessions/{name}/{part}" for part in ("state", "snapshots")]
            assert [http.get(path).json() for path in paths] == [served.get(path).json() for path in paths]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("backup", "{}/all", "--session", "a", "--model", "b"), "not both"),
        (("backup", "{}/all", "--session", "nothing"), "no session 'nothing'"),
        (("backup", "{}/all", "--model", "nothing"), "no model 'nothing'"),
        (("backup", "{}/no/all"), "cannot write"),
        (("backup", "{}/there"), "--force"),
        (("restore", "{}/missing"), "cannot read"),
        (("restore", "{}/there"), "is no backup"),
        (("restore", "{}/cut"), "damaged"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(
    words: tuple[str, ...],
    said: str,
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "there").write_bytes(b"something else")
    (tmp_path / "cut").write_bytes(b"CELLARB1" + bytes(100))
    empty = Installation(redis_url, tmp_path)
    assert empty.run(*(word.format(tmp_path) for word in words)) == MISTAKE
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cut", "there"]
