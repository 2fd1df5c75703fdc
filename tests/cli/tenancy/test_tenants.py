"""A tenant is erased while the service runs: nothing of it is left, and everything of another."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from cellar.cli.commands import MISTAKE, main
from cellar.store.topology.factory import sync_client
from tests.e2e.replica import environment, serving

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, {"type": "dense", "out_size": 2}],
}
DATA = {"inputs": [[0], [1], [0]], "targets": [[0, 1], [1, 0], [0, 1]], "layout": "TF"}


LEFT = ("{models}:acme:highest", "{models}:acme:moved", "acme:indexed")
"""The keys of an erased tenant, besides tombstones."""


def created(capsys: pytest.CaptureFixture[str], tenant: str) -> str:
    """Make a key as an operator does."""
    assert main(["keys", "create", "--tenant", tenant, "--scopes", "admin", "--json"]) == 0
    found: str = json.loads(capsys.readouterr().out)["key"]
    return found


def test_a_tenant_is_erased(
    redis_url: str, kernel_directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"redis_url": redis_url, "key_prefix": f"test-{uuid.uuid4().hex}", "cache_dir": str(kernel_directory)}
    settings |= {"authentication": "keys", "key_pepper": "the pepper of tests", "workers": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"CELLAR_{name.upper()}", value)
    keys = {tenant: created(capsys, tenant) for tenant in ("acme", "zebra")}
    with serving(environment()) as service, httpx.Client(base_url=service.url, timeout=60) as http:

        def send(method: str, path: str, tenant: str, json: Any = None) -> httpx.Response:
            """Send a request of a tenant."""
            return http.request(method, path, json=json, headers={"authorization": f"Bearer {keys[tenant]}"})

        for tenant, key in keys.items():
            assert send("POST", "/v1/models", tenant, {"name": "m", "network": NETWORK}).status_code == 201
            for number in range(3):
                body = {"session": f"s/{number}", "model": "m", "log": 9, "learning": {"type": "rls"}}
                assert send("POST", "/v1/sessions", tenant, body).status_code == 201
            for method, path, sent in (
                ("PUT", "shadow", {"model": "m"}),
                ("POST", "step", {"input": [1]}),
                ("POST", "targets", {"step": 0, "targets": [[0, 1]]}),
                ("POST", "learning/publish", None),
            ):
                send(method, f"/v1/sessions/s%2F0/{path}", tenant, sent).raise_for_status()
            assert send("POST", "/v1/jobs", tenant, {"model": "m", "data": DATA, "loss": "mse"}).status_code == 202
            text = {"authorization": f"Bearer {key}", "content-type": "text/csv"}
            assert http.post("/v1/datasets?name=d", content="a,b\n1,2\n", headers=text).status_code == 201
        assert main(["tenants", "erase", "nobody", "--yes", "--url", service.url]) == MISTAKE
        assert "no tenant" in capsys.readouterr().err
        assert main(["tenants", "erase", "acme", "--yes", "--json", "--url", service.url]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == {"tenant": "acme", "deleted": {"keys": 1, "sessions": 3, "jobs": 1, "datasets": 1, "models": 1}}
        left = [key.decode() for key in sync_client(redis_url).scan_iter(f"{settings['key_prefix']}:*acme*")]
        own = {f"{settings['key_prefix']}:{name}" for name in LEFT}
        assert [key for key in left if key not in own and not key.endswith(":t")] == []
        assert send("GET", "/v1/models", "acme").status_code == 401
        assert main(["tenants", "list", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)["tenants"]
        assert listed == [{"tenant": "acme", "keys": 0}, {"tenant": "zebra", "keys": 1}]
        keys["acme"] = created(capsys, "acme")
        while send("GET", "/v1/models", "acme").status_code == 401:  # the service reads new keys at times
            pass
        for path, member in (
            ("models", "models"),
            ("sessions", "sessions"),
            ("jobs", "jobs"),
            ("datasets", "datasets"),
        ):
            assert send("GET", f"/v1/{path}", "acme").json()[member] == []
            assert send("GET", f"/v1/{path}", "zebra").json()[member] != []
        assert send("POST", "/v1/sessions/s%2F1/step", "zebra", {"input": [1]}).status_code == 200
