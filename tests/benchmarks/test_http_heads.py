"""The benchmark of request heads runs, and its variants differ in what they say. Times are not judged here."""

import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import uvicorn

from benchmarks.http_heads import VARIANTS, Client, prepare, requests
from cellar.main import create_app
from cellar.settings import Settings
from tests.docs.pages import ROOT


def test_each_variant_has_a_figure_and_a_ratio() -> None:
    command = [sys.executable, "-m", "benchmarks.http_heads", "--rounds", "5", "--steps", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=110)
    found = re.findall(r"^  (.+?) +[\d.]+ us(?:  [\d.]+ \([\d.]+ to [\d.]+\))?$", done.stdout, re.MULTILINE)
    assert found == [*VARIANTS, *VARIANTS], done.stdout


@pytest.mark.anyio
async def test_variants_differ_in_heads_and_timers(redis_url: str, kernel_directory: Path) -> None:
    prefix = f"test-{uuid.uuid4().hex}"
    app = create_app(Settings(redis_url=redis_url, cache_dir=kernel_directory, key_prefix=prefix))
    config = uvicorn.Config(app, log_config=None)
    remembered, same_timer = [], []
    async with app.router.lifespan_context(app):
        await prepare(app, ["one"])
        for kind in VARIANTS.values():
            client = Client(kind, config, requests("one"))
            await client.run(2)
            timer = client.protocol.timeout_keep_alive_task
            await client.run(2)
            remembered.append(client.protocol._known is not None)
            same_timer.append(client.protocol.timeout_keep_alive_task is timer is not None)
            client.end()
    assert remembered == [True, False, True]
    assert same_timer == [True, True, False]
