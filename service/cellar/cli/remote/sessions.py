"""The commands `cellar sessions list`, `show` and `delete`."""

import time
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, confirm, progress, say, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url, Yes
from cellar.cli.remote.connection import Service, pages, path_of

app = typer.Typer(name="sessions", help="List, show and delete sessions.")

POLL_S = 0.5

Prefix = Annotated[str | None, typer.Option(help="Only sessions whose names begin with this.")]
ModelFilter = Annotated[str | None, typer.Option("--model", help="Only sessions of this model, version or alias.")]


@app.command(name="list")
def list_sessions(
    prefix: Prefix = None,
    model: ModelFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="Most sessions.")] = 1000,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List sessions with their models and positions."""
    with Service(url, api_key) as service:
        found = list(pages(service, "/v1/sessions", "sessions", {"prefix": prefix, "model": model}, limit))
    if as_json:
        return show_json({"sessions": found})
    rows = [(each["session"], each["model"], each["step"], each["batch_size"], each["expires"]) for each in found]
    return show_table(("SESSION", "MODEL", "STEP", "ROWS", "EXPIRES"), rows)


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="The name of the session.")],
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Show a session."""
    with Service(url, api_key) as service:
        found = service.get(path_of("sessions", session))
    return show_json(found) if as_json else show_members(found)


@app.command()
def delete(
    session: Annotated[str | None, typer.Argument(help="One session; or give a filter.")] = None,
    prefix: Prefix = None,
    model: ModelFilter = None,
    idle_s: Annotated[int | None, typer.Option("--idle-s", min=1, help="Only without a change for this long.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete one session, or all sessions that fit all filters, and their states."""
    filters = {"prefix": prefix, "model": model, "idle_s": idle_s}
    given = {name: value for name, value in filters.items() if value is not None}
    if (session is None) == (not given) or (session is not None and dry_run):
        raise Mistake("name one session, or give at least one of --prefix, --model and --idle-s")
    with Service(url, api_key) as service:
        if session is not None:
            service.get(path_of("sessions", session))
            confirm(f"Delete the session {session} and its state?", yes=yes)
            service.send("DELETE", path_of("sessions", session))
            return show_json({"deleted": 1}) if as_json else say(f"{session} is deleted")
        found = service.send("DELETE", "/v1/sessions", params={**given, "dry_run": "true"})
        if not dry_run:
            confirm(f"Delete {found['matched']} sessions and their states?", yes=yes)
            found = _delete_all(service, given)
    count = found["matched"] if dry_run else found["deleted"]
    return show_json(found) if as_json else say(f"{count} sessions {'fit' if dry_run else 'are deleted'}")


def _delete_all(service: Service, filters: dict[str, Any]) -> dict[str, Any]:
    """Delete sessions, wait for the end, and return the deletion."""
    found: dict[str, Any] = service.send("DELETE", "/v1/sessions", params=filters)
    with progress("delete", found["matched"] or None) as advance:
        before = 0
        while found["ended"] is None:
            time.sleep(POLL_S)
            found = service.get(path_of("deletions", found["deletion"]))
            advance(found["deleted"] - before)
            before = found["deleted"]
    return found
