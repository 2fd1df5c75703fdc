"""The command `status`: whether a service serves, how durable its store is, and how much it has."""

from collections import Counter
from typing import Any

import typer

from cellar.cli.console import Mistake, show_json, show_members
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, pages

app = typer.Typer()

MOST_COUNTED = 10_000
"""Sessions that are counted; a service may have millions."""

MOST_JOBS = 1000


@app.command()
def status(url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> int:
    """Show whether the service serves requests, its version and store, and the numbers of models, sessions and jobs.

    The exit code is 1 if it does not serve steps now.
    """
    with Service(url, api_key) as service:
        found = _status(service)
    if as_json:
        show_json(found)
    else:
        show_members({name: value for name, value in found.items() if name != "store"} | dict(found["store"] or {}))
    return 0 if found["ready"] else 1


def _status(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = {"url": service.url, "version": service.get("/healthz")["version"], "ready": True}
    try:
        ready = service.send("GET", "/readyz", tries=1)
    except Mistake as problem:
        return found | {"ready": False, "reason": str(problem), "store": None}
    models = sum(1 for _ in pages(service, "/v1/models", "models", {}))
    sessions = sum(1 for _ in pages(service, "/v1/sessions", "sessions", {}, MOST_COUNTED))
    jobs = Counter(job["state"] for job in service.get("/v1/jobs", {"limit": MOST_JOBS})["jobs"])
    more = {"sessions_counted_up_to": MOST_COUNTED} if sessions == MOST_COUNTED else {}
    return found | {
        "build": ready["build"],
        "models": models,
        "sessions": sessions,
        **more,
        "jobs": dict(jobs),
        "store": ready["store"],
    }
