"""Probes of all kinds: a quick form of `python -m tests.isolation.run`, and a service that answers them is found."""

import uuid
from pathlib import Path

import pytest

from cellar.keys.administration import KeyAdministration
from cellar.keys.pepper import Pepper
from cellar.ports.clock import SystemClock
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client
from tests.e2e.replica import environment, serving
from tests.isolation import run

pytestmark = pytest.mark.anyio

COUNT = 240
"""About two of each kind."""


async def test_no_probe_is_answered(redis_url: str, kernel_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"redis_url": redis_url, "cache_dir": str(kernel_directory), "key_prefix": f"test-{uuid.uuid4().hex}"}
    more = {"authentication": "keys", "key_pepper": run.PEPPER, "worker": "false"}
    keys = KeyAdministration(
        RedisKeys(sync_client(redis_url), settings["key_prefix"]), Pepper(run.PEPPER), SystemClock()
    )
    with serving(environment(**settings, **more)) as service:
        report = await run.carry_out(service.url, keys, COUNT, seed=1)
        assert sum(report.statuses.values()) == COUNT
        assert report.found == []
        monkeypatch.setattr(run, "INTRUDER", "owner")
        monkeypatch.setattr(run, "ANSWER_S", 2.0)
        report = await run.carry_out(service.url, keys, COUNT, seed=2)
    assert len(report.found) > COUNT / 4
