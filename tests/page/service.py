"""A service that needs API keys, with models, sessions and jobs for the page to show."""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.e2e.replica import Replica, environment, serving
from tests.waiting import wait_until

ODD = 'pump 7/north "ä" 🌡️'
"""A name with a slash, blanks, quotes, an umlaut and an emoji."""

WIDE = 4096


@dataclass
class Furnished:
    """A running service with data."""

    replica: Replica
    key: str
    api: httpx.Client

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer."""
        found: dict[str, Any] = self.api.post(path, json=body).raise_for_status().json()
        return found

    def await_jobs(self) -> None:
        """Wait until all jobs have ended."""
        wait_until(lambda: not self._open_jobs(), 120, "the jobs have ended")

    def _open_jobs(self) -> list[str]:
        jobs = self.api.get("/v1/jobs").json()["jobs"]
        return [job["job"] for job in jobs if job["state"] in ("queued", "running")]


def session_path(session: str) -> str:
    """Return the path of a session."""
    return f"/v1/sessions/{quote(session, safe='')}"


@contextmanager
def furnished(data: Path, kernels: Path) -> Iterator[Furnished]:
    """Run a service with a key, a model `tide`, a wide model, and the session ODD with 40 steps."""
    settings = environment(data_dir=str(data), cache_dir=str(kernels), authentication="keys", job_nice="0")
    with serving(settings) as replica:
        command = [sys.executable, "-m", "cellar.cli", "keys", "create", "--scopes", "admin,metrics", "--name", "page"]
        made = subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout
        key = next(word for word in made.split() if word.startswith("cellar_"))
        with httpx.Client(base_url=replica.url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as api:
            wait_until(lambda: api.get("/v1/models").is_success, 30, "the service knows the key")
            service = Furnished(replica, key, api)
            _furnish(service)
            yield service


def _furnish(service: Furnished) -> None:
    dense = {"type": "dense", "out_size": 2}
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 24}, dense]}
    service.post("/v1/models", {"name": "tide", "network": network, "seed": 3})
    service.api.put("/v1/models/tide/aliases/live", json={"version": 1}).raise_for_status()
    leaky = {"equations": "h = 0.9 * h + W @ x"}
    wide = {"in_size": 1, "layers": [{"type": "recurrent", "cell": leaky, "hidden_size": WIDE}]}
    service.post("/v1/models", {"name": "wide", "network": wide})
    service.post("/v1/sessions", {"session": "wide", "model": "wide", "batch_size": 1})
    service.post("/v1/sessions", {"session": ODD, "model": "tide", "history": 50, "log": 1000, "events": 500})
    inputs = [[round(math.sin(step / 4), 3), round(math.cos(step / 7), 3)] for step in range(40)]
    service.post(f"{session_path(ODD)}/sequence", {"inputs": inputs})
    service.post("/v1/sessions/wide/step", {"input": [1]})
