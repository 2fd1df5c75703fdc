"""`cellar keys` on a private Redis, whether or not the service runs, and on one that is given."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest

from cellar.cli.tenancy.keys import seconds_of
from cellar.errors import InvalidInput
from tests.e2e.replica import environment, serving


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `cellar keys` under these settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CELLAR_")}
    given = {f"CELLAR_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "cellar.cli", "keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own | given)


def made(*arguments: str, **settings: str) -> str:
    """Return the text of a new key."""
    done = run("create", *arguments, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_keys_before_and_while_the_service_runs(tmp_path: Path, kernel_directory: Path) -> None:
    place = {"data_dir": str(tmp_path / "data"), "runtime_dir": str(tmp_path / "run")}
    admin = made("--scopes", "admin", "--name", "first", **place)
    settings = environment(**place, cache_dir=str(kernel_directory), worker="false", authentication="keys")
    settings.pop("CELLAR_REDIS_URL", None)
    with serving(settings) as service, httpx.Client(base_url=service.url) as http:
        assert http.get("/v1/keys").status_code == 401
        second = made("--tenant", "acme", "--scopes", "read,step", "--expires-in", "1h", **place)
        http.headers["authorization"] = f"Bearer {admin}"
        assert [key["name"] for key in http.get("/v1/keys").json()["keys"]] == ["first"]
        listed = json.loads(run("list", "--json", **place).stdout)
        assert [key["tenant"] for key in listed] == ["default", "acme"]
        assert second.split("_", 2)[2] not in run("list", **place).stdout
        rotated = run("rotate", listed[0]["id"], "--overlap", "30s", **place).stdout.splitlines()[-1]
        assert run("revoke", listed[1]["id"], **place).returncode == 0
        assert run("list", "--tenant", "acme", **place).stdout.splitlines()[-1].split()[3] == "revoked"
    assert rotated.startswith("cellar_")


def test_a_redis_that_is_given_needs_a_pepper_that_stays(redis_url: str) -> None:
    given = {"redis_url": redis_url, "key_prefix": f"test-{uuid.uuid4().hex}"}
    assert "CELLAR_KEY_PEPPER must be set" in run("list", **given).stderr
    made("--scopes", "read", **given, key_pepper="one pepper of many")
    assert "another pepper" in run("list", **given, key_pepper="another one of many").stderr
    assert "CELLAR_KEY_PEPPER" in run("list", **given, key_pepper="short").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--scopes", "write"], "are no scopes"),
        (["create", "--tenant", "A/b"], "is no tenant"),
        (["create", "--expires-in", "soon"], "is no duration"),
        (["create", "--expires-in", "0d"], "is no duration"),
        (["rotate", "0123456789ab"], "no API key"),
        (["revoke", "x"], "no API key"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], said: str, redis_url: str) -> None:
    done = run(*arguments, redis_url=redis_url, key_pepper="a pepper of tests", key_prefix=f"test-{uuid.uuid4().hex}")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_durations() -> None:
    assert [seconds_of(text) for text in ("30s", "2m", "1.5h", "7d")] == [30, 120, 5400, 604800]
    with pytest.raises(InvalidInput):
        seconds_of("-1d")


def test_an_address_of_other_machines_needs_a_word(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CELLAR_")}
    own |= {"CELLAR_HOST": "0.0.0.0", "CELLAR_PORT": "0", "CELLAR_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "cellar.cli", "serve"], capture_output=True, text=True, timeout=60, check=False, env=own
    )
    assert done.returncode == 78
    assert "CELLAR_AUTHENTICATION=keys" in done.stderr
    assert not list(tmp_path.iterdir())
