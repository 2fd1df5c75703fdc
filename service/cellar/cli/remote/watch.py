"""The command `ps`: the sessions that are stepped now, with their rates."""

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cellar.cli.console import show_json, show_table
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, pages

app = typer.Typer()

COLUMNS = ("SESSION", "MODEL", "STEP", "STEPS/S", "ROWS")

Reading = tuple[float, Mapping[str, Any]]
"""When the sessions were read, seconds, and the sessions by name."""


@app.command()
def ps(
    prefix: Annotated[str | None, typer.Option(help="Only sessions whose names begin with this.")] = None,
    model: Annotated[str | None, typer.Option(help="Only sessions of this model, version or alias.")] = None,
    interval_s: Annotated[float, typer.Option("--interval-s", min=0.1, help="Time between two readings.")] = 2.0,
    most: Annotated[int, typer.Option(min=1, help="Most sessions that are read.")] = 5000,
    lines: Annotated[int, typer.Option(min=1, help="Most sessions that are shown.")] = 40,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Show them once, after one interval.")] = False,
    as_json: Json = False,
) -> None:
    """Show the sessions with the most steps per second, again and again until Ctrl-C.

    A rate is that of the position between two readings. With --json or without a terminal they are shown once.
    """
    with Service(url, api_key) as service:

        def read() -> Reading:
            """Read the sessions."""
            params = {"prefix": prefix, "model": model}
            found = pages(service, "/v1/sessions", "sessions", params, most)
            return time.monotonic(), {each["session"]: each for each in found}

        first = read()
        if once or as_json or not sys.stdout.isatty():
            time.sleep(interval_s)
            found = rates(first, read())
            return show_json({"sessions": found}) if as_json else show_table(COLUMNS, map(_row, found[:lines]))
        return _refresh(first, read, interval_s, lines)


def rates(before: Reading, after: Reading) -> list[dict[str, Any]]:
    """Return the sessions of the second reading with their steps per second, the fastest first.

    >>> rates((0.0, {"a": {"step": 3}}), (2.0, {"a": {"step": 9}, "b": {"step": 5}}))
    [{'step': 9, 'steps_per_s': 3.0}, {'step': 5, 'steps_per_s': None}]
    """
    passed_s = after[0] - before[0]
    found = []
    for name, session in after[1].items():
        earlier = before[1].get(name)
        moved = None if earlier is None else max(0, session["step"] - earlier["step"]) / passed_s
        found.append(session | {"steps_per_s": None if moved is None else round(moved, 3)})
    return sorted(found, key=lambda each: -(each["steps_per_s"] or 0.0))


def _row(session: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(session[name] for name in ("session", "model", "step", "steps_per_s", "batch_size"))


def _refresh(first: Reading, read: Any, interval_s: float, lines: int) -> None:
    """Show the table on the terminal and refresh it until Ctrl-C."""
    from rich.live import Live
    from rich.table import Table

    before = first
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            after = read()
            found = rates(before, after)
            before = after
            total = sum(each["steps_per_s"] or 0.0 for each in found)
            table = Table(title=f"{len(found)} sessions, {total:.1f} steps/s", expand=True)
            for column in COLUMNS:
                table.add_column(column)
            for each in found[:lines]:
                table.add_row(*("-" if cell is None else str(cell) for cell in _row(each)))
            live.update(table, refresh=True)
