"""The commands `cellar jobs list`, `show` and `cancel`, and how a job is followed until it has ended."""

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, progress, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, path_of

app = typer.Typer(name="jobs", help="List, show and cancel training jobs.")

POLL_S = 0.5


class State(StrEnum):
    """States of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

Name = Annotated[str, typer.Argument(metavar="JOB", help="The name of the job.")]


@app.command(name="list")
def list_jobs(
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most jobs.")] = 100,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List training jobs, the newest first."""
    with Service(url, api_key) as service:
        found = service.get("/v1/jobs", {"state": None if state is None else state.value, "limit": limit})["jobs"]
    if as_json:
        return show_json({"jobs": found})
    rows = [(job["job"], job["state"], job["model"], job["result"], job["created"]) for job in found]
    return show_table(("JOB", "STATE", "MODEL", "RESULT", "CREATED"), rows)


@app.command()
def show(job: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Show a job with its progress and the reason of a failure."""
    with Service(url, api_key) as service:
        found = service.get(path_of("jobs", job))
    _show(found, as_json=as_json)


@app.command()
def wait(job: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> int:
    """Wait until a job has ended. The exit code is 1 if it has not succeeded."""
    with Service(url, api_key) as service:
        return show_end(service, service.get(path_of("jobs", job)), as_json=as_json)


@app.command()
def cancel(job: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Cancel a job: a queued one ends at once, a running one a moment later."""
    with Service(url, api_key) as service:
        found = service.send("POST", path_of("jobs", job, "cancel"))
    _show(found, as_json=as_json)


def _show(job: dict[str, Any], *, as_json: bool) -> None:
    """Print a job, without the settings and the history in text."""
    left_out = () if as_json else ("training", "history")
    found = {name: value for name, value in job.items() if name not in left_out}
    return show_json(found) if as_json else show_members(found)


def show_end(service: Service, job: dict[str, Any], *, as_json: bool) -> int:
    """Wait until a job has ended, with a bar on the terminal, print it, and return the exit code."""
    path = path_of("jobs", job["job"])
    try:
        with progress(f"job {job['job']}", job["training"]["epochs"]) as advance:
            before = 0
            while job["state"] not in ENDED:
                time.sleep(POLL_S)
                job = service.get(path)
                done = int(job["progress"].get("epoch") or before)
                advance(done - before)
                before = done
    except KeyboardInterrupt:
        raise Mistake(f"the job {job['job']} runs without this command: `cellar jobs wait {job['job']}`") from None
    _show(job, as_json=as_json)
    return 0 if job["state"] == State.SUCCEEDED else 1
