"""Health, cells, jobs, versions, and documents that have the members of the API."""

import inspect
import json
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from cellar_client import Check, Client, ConnectionFailed, documents
from cellar_client import errors as client_errors
from cellar_client.core.messages import all_headers
from tests.docs.pages import DOCS

GRU = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}

SCHEMAS = {"ModelLineDocument": "ModelLine", "VersionDocument": "VersionLine", "StateDocument": "StateLine"}
SCHEMAS |= {"ParameterDocument": "ParameterLine", "TrainingSettings": "JobRequest"}
SCHEMAS |= {"DatasetLineDocument": "DatasetLine", "BacktestSettings": "BacktestJobRequest"}
"""Names of schemas that are not those of the documents."""


def test_health_and_readiness(client: Client) -> None:
    assert client.health()["status"] == "alive"
    assert client.ready()["store"]
    assert client.is_ready()
    with Client("http://127.0.0.1:1", give_up_s=0.1) as nowhere:
        assert not nowhere.is_ready()
        with pytest.raises(ConnectionFailed):
            nowhere.health()


@pytest.mark.parametrize("url", ["localhost:8080", "", "ftp://localhost", "http://"])
def test_addresses_that_are_none_are_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        Client(url)


def test_equations_are_explained(client: Client) -> None:
    found = client.explain_cell("h = tanh(W @ x + U @ h)", {"in": 3, "hidden": 2})
    assert [parameter["shape"] for parameter in found["parameters"]] == [[2, 3], [2, 2]]
    with pytest.raises(client_errors.CellInvalid):
        client.explain_cell("h = tanh(", {"in": 3, "hidden": 2})


def test_versions_are_listed_and_checked(client: Client) -> None:
    client.models.create("listed", GRU)
    weights = client.models.weights("listed")
    outputs = client.session(model="listed").sequence([[1, 2], [3, 4]]).output
    check = Check([[1, 2], [3, 4]], outputs + 0.01, tolerance=0.1)
    client.models.publish("listed", GRU, {name: value + 1e-6 for name, value in weights.items()}, check)
    first, second = client.models.versions("listed")
    assert (first["model"], second["model"]) == ("listed@1", "listed@2")
    assert 0.005 < second["metrics"]["check_max_difference"] < 0.02
    client.session("uses-it", "listed")
    with pytest.raises(client_errors.ModelInUse):
        client.models.delete("listed")
    client.models.delete("listed", force=True)
    with pytest.raises(client_errors.ModelUnknown):
        client.models.versions("listed")


def test_keys_are_made_rotated_and_revoked(client: Client) -> None:
    made = client.keys.create("gateway", ["step"], expires_in_s=3600)
    assert made["key"].startswith(f"cellar_{made['id']}_")
    new = client.keys.rotate(made["id"], overlap_s=60)
    assert str(client.keys.get(made["id"])["expires"]) < str(made["expires"])
    assert client.keys.revoke(new["id"])["revoked"]
    assert {key["id"] for key in client.keys.list()["keys"]} >= {made["id"], new["id"]}
    with pytest.raises(client_errors.KeyUnknown):
        client.keys.rotate(new["id"])
    with pytest.raises(client_errors.Problem, match="has none"):
        client.keys.ticket()


def test_a_key_is_sent_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all_headers("one", {"X": "y"}) == {"Authorization": "Bearer one", "X": "y"}
    monkeypatch.setenv("CELLAR_API_KEY", "two")
    assert all_headers(None, None) == {"Authorization": "Bearer two"}
    assert all_headers("", None) == {}


def test_versions_have_aliases_and_tags(client: Client) -> None:
    for seed in range(2):
        client.models.publish(
            "tagged", GRU, client.models.weights(client.models.create(f"seed-{seed}", GRU, seed)["model"])
        )
    assert client.models.move_alias("tagged", "live", 1, expected=0)["model"] == "tagged@1"
    session = client.session(model="tagged@live")
    with pytest.raises(client_errors.AliasMoved) as caught:
        client.models.move_alias("tagged", "live", 2, expected=0)
    assert caught.value.document["version"] == 1
    client.models.move_alias("tagged", "live", 2, expected=1)
    assert client.models.alias("tagged", "live")["version"] == client.models.get("tagged@live")["version"] == 2
    assert session.step([1, 2]).step == 1
    assert (session.refresh()["model"], session.info["follows"]) == ("tagged@2", "tagged@live")
    assert client.models.describe("tagged@1", tags=["old"], description="the first")["tags"] == ["old"]
    [found] = client.models.list(prefix="tagged", tag="old")
    assert [version["model"] for version in found["versions"]] == ["tagged@1"]
    assert [alias["alias"] for alias in client.models.aliases("tagged")] == ["live"]
    session.delete()
    client.models.delete("tagged@1")
    client.models.delete_alias("tagged", "live", expected=2)
    with pytest.raises(client_errors.AliasUnknown):
        client.models.alias("tagged", "live")
    assert [version["version"] for version in client.models.versions("tagged")] == [2]


def test_jobs_are_listed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.models.create("jobs", GRU)
    job = client.train(
        "jobs", [[[1.0, 2.0]], [[3.0, 4.0]]], [[[0.0] * 3]] * 2, layout="TBF", epochs=1, publish="always"
    )
    assert job.wait() == "jobs@2"
    assert job.id in [each.id for each in client.jobs(state="succeeded")]
    assert (job.progress["epoch"], [*job.history()]) == (1, job.losses)
    held_out = client.train("jobs", [[1, 2]] * 9, [[0] * 3] * 9, validation=([[1, 2]], [[0] * 3]), epochs=1)
    assert held_out.refresh()["job"] == held_out.id
    monkeypatch.setattr("cellar_client.operations.MOST_JOBS", 1)  # each page has one
    assert [each.id for each in client.jobs(limit=2)] == [held_out.id, job.id]
    assert [each.id for each in client.jobs(limit=1)] == [held_out.id]
    job.delete()
    with pytest.raises(client_errors.JobUnknown):
        client.job(job.id)


def test_a_backtest_by_a_worker_has_the_numbers_of_the_direct_one(client: Client, tmp_path: Path) -> None:
    client.models.create("tested", {"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]})
    file = tmp_path / "rows.csv"
    file.write_text("a\n" + "".join(f"{row % 7}\n" for row in range(60)))
    client.datasets.add("tested-rows", file)
    asked: dict[str, Any] = {"stride": 2, "inputs": ["a"], "targets": ["a"]}
    backtest = client.backtest("tested", "tested-rows", 3, **asked)
    assert backtest.wait() == client.models.backtest("tested", "tested-rows", 3, **asked)
    (listed,) = client.backtests()
    assert (listed.id, listed.state, listed.document["result"]) == (backtest.id, "succeeded", None)
    assert listed.wait() == client.find_backtest(backtest.id).wait()
    assert backtest.cancel()["state"] == "succeeded", "it has ended"
    backtest.delete()
    with pytest.raises(client_errors.BacktestUnknown):
        backtest.refresh()


def test_documents_have_members_of_the_api() -> None:
    schemas = json.loads((DOCS.parent / "openapi" / "openapi.json").read_text())["components"]["schemas"]
    for name, found in vars(documents).items():
        if inspect.isclass(found) and found.__module__ == documents.__name__:
            schema = schemas[SCHEMAS.get(name, name.replace("Document", "Answer"))]
            assert get_type_hints(found).keys() <= schema["properties"].keys(), name


def test_answers_name_the_version_of_a_session_that_follows_an_alias(client: Client) -> None:
    cell = {"equations": "h = b_keep * h + x"}
    network = {"in_size": 1, "layers": [{"type": "recurrent", "cell": cell, "hidden_size": 1}]}
    for keep in (0.5, 0.25):
        client.models.publish("fading", network, {"0.b_keep": np.array([keep], np.float32)})
    client.models.move_alias("fading", "live", 1)
    session = client.session(model="fading@live")
    for version in (1, 2):
        client.models.move_alias("fading", "live", version)
        answers = [session.step([8]), session.sequence([[8], [8]])]
        with session.stream() as stream:
            answers += [*stream.run([[8], [8]])]
        assert {answer.version for answer in answers} == {version}
        assert session.refresh()["follows"] == "fading@live"
    assert client.session(model="fading@1").step([8]).version == 0
