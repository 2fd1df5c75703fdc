"""The commands `cellar jobs list`, `show`, `history`, `follow`, `wait`, `cancel`, `retry` and `delete`."""

import json
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, confirm, progress, say, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url, Yes
from cellar.cli.remote.connection import Requests, Service, pages, path_of
from cellar.cli.remote.training.job_events import events, line_of

app = typer.Typer(name="jobs", help="List, show, follow, cancel, retry and delete training jobs.")

POLL_S = 0.02, 0.5
"""The shortest and the longest pause between two reads of a job."""

WAITED_SHARE = 0.1
"""The pause as a share of the time that the job has taken so far: the end of a short job is seen soon."""


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
    limit: Annotated[int, typer.Option(min=1, help="Most jobs.")] = 100,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List training jobs, the newest first."""
    with Service(url, api_key) as service:
        params = {"state": None if state is None else state.value}
        found = list(pages(service, "/v1/jobs", "jobs", params, limit))
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
def history(
    job: Name,
    after: Annotated[int, typer.Option(min=0, help="Only epochs behind the one with this number.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Most epochs; default: all.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Show all finished epochs of a job with their losses, the oldest first. With --json each is a line."""
    if not as_json:
        say(f"{'EPOCH':>9} {'LOSS':>12} {'VALIDATION':>12} {'RATE':>10}")
    with Service(url, api_key) as service:
        for each in pages(service, path_of("jobs", job, "history"), "epochs", {}, limit, str(after)):
            say(json.dumps(each) if as_json else _epoch_line(each))


@app.command()
def follow(job: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> int:
    """Show the events of a job until it has ended: losses, speed, and the time that is left.

    With --json each event is a line. The exit code is 1 if the job has not succeeded.
    """
    state = ""
    with Service(url, api_key) as service:
        for kind, data in events(service, path_of("jobs", job, "events")):
            say(json.dumps({"event": kind, **data}) if as_json else line_of(kind, data))
            state = data.get("state", state)
    return 0 if state == State.SUCCEEDED else 1


@app.command()
def retry(job: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Run a failed or cancelled job again, from its last checkpoint if it has one."""
    with Service(url, api_key) as service:
        found = service.send("POST", path_of("jobs", job, "retry"))
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


@app.command()
def delete(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="One job; or give a filter.")] = None,
    state: Annotated[State | None, typer.Option(help="Only succeeded, failed or cancelled jobs.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs that trained this model or version.")] = None,
    older_than_s: Annotated[
        float | None,
        typer.Option("--older-than-s", min=0.0, help="Only jobs that ended this long ago, seconds."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete one job, or all ended jobs that fit all filters, and their data. Versions that they published stay."""
    if (job is None) == (state is None and model is None and older_than_s is None):
        raise Mistake("name one job, or give at least one of --state, --model and --older-than-s")
    with Service(url, api_key) as service:
        if job is not None:
            found = [service.get(path_of("jobs", job))["job"]]
        else:
            params = {"state": None if state is None else state.value}
            found = [
                each["job"]
                for each in pages(service, "/v1/jobs", "jobs", params)
                if each["ended"] is not None
                and (model is None or model in (each["model"], each["model"].partition("@")[0]))
                and (older_than_s is None or _seconds_since(each["ended"]) >= older_than_s)
            ]
        if not dry_run:
            confirm(f"Delete {len(found)} jobs and their data?", yes=yes)
            with progress("delete", len(found)) as advance:
                for name in found:
                    service.send("DELETE", path_of("jobs", name))
                    advance(1)
    if as_json:
        return show_json({"jobs": found, "deleted": not dry_run})
    return say(f"{len(found)} jobs {'fit' if dry_run else 'are deleted'}")


def _epoch_line(epoch: dict[str, Any]) -> str:
    numbers = [epoch[name] for name in ("loss", "validation_loss", "learning_rate")]
    loss, validation, rate = ("" if value is None else f"{value:.6g}" for value in numbers)
    return f"{epoch['epoch']:>9} {loss:>12} {validation:>12} {rate:>10}"


def _seconds_since(time_text: str) -> float:
    """Return how long ago a time of the API was, seconds."""
    return (datetime.now(UTC) - datetime.fromisoformat(time_text)).total_seconds()


def _show(job: dict[str, Any], *, as_json: bool) -> None:
    """Print a job, without the settings and the history in text."""
    left_out = () if as_json else ("training", "history")
    found = {name: value for name, value in job.items() if name not in left_out}
    return show_json(found) if as_json else show_members(found)


def show_end(service: Requests, job: dict[str, Any], *, as_json: bool) -> int:
    """Wait until a job has ended, with a bar on the terminal, print it, and return the exit code."""
    job = wait_for(service, job)
    _show(job, as_json=as_json)
    return 0 if job["state"] == State.SUCCEEDED else 1


def pause_s(waited_s: float) -> float:
    """Return the pause before the next read of a job, after this time, seconds.

    >>> pause_s(0.1), pause_s(2), pause_s(60)
    (0.02, 0.2, 0.5)
    """
    shortest_s, longest_s = POLL_S
    return min(longest_s, max(shortest_s, WAITED_SHARE * waited_s))


def _title(job: dict[str, Any]) -> str:
    """Return the title of the bar: the job, and the reason for which it does not train yet."""
    if job["state"] == State.QUEUED:
        return f"job {job['job']} waits for a worker"
    if job["state"] == State.RUNNING and not job["progress"]:
        return f"job {job['job']} compiles kernels (up to a minute, the first time)"
    return f"job {job['job']}"


def wait_for(service: Requests, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until a job has ended, with a bar on the terminal, and return it. Raise Mistake for Ctrl-C."""
    path = path_of("jobs", job["job"])
    try:
        with progress(_title(job), job["training"]["epochs"]) as advance:
            before, begun_s = 0, time.monotonic()
            while job["state"] not in ENDED:
                time.sleep(pause_s(time.monotonic() - begun_s))
                job = service.get(path)
                done = int(job["progress"].get("epoch") or before)
                advance(done - before, _title(job))
                before = done
    except KeyboardInterrupt:
        raise Mistake(service.left(job["job"])) from None
    return job
