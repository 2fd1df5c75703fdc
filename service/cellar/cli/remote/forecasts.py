"""The command `cellar forecast`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, say, show_json, show_table
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, path_of

app = typer.Typer()


@app.command()
def forecast(
    session: Annotated[str, typer.Argument(help="The name of the session.")],
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps ahead; default: those of the model.")] = None,
    quantile: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="A quantile, such as 0.9; may be repeated.")
    ] = None,
    paths: Annotated[int | None, typer.Option(min=1, help="Paths that are drawn.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The seed of the paths.")] = None,
    future: Annotated[Path | None, typer.Option(help="A JSON file with the inputs of the steps ahead.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Forecast from the present state of a session, which stays as it is."""
    body = {"horizon": horizon, "quantiles": quantile and sorted(quantile), "paths": paths, "seed": seed}
    body["future"] = None if future is None else _read(future)
    with Service(url, api_key) as service:
        given = {name: value for name, value in body.items() if value is not None}
        found = service.send("POST", path_of("sessions", session, "forecast"), json=given)
    if as_json:
        return show_json(found)
    for name, target in found["targets"].items():
        say(f"{name} from {found['session']} at {found['position']}, {found['model']}")
        _show(target)
    return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Mistake(f"{path} cannot be read as JSON: {error}") from error


def _show(target: dict[str, Any]) -> None:
    """Print a line for each step ahead; with several rows, for each row and step."""
    quantiles: dict[str, Any] = target["quantiles"] or {}
    columns: list[Sequence[Any]] = [target["point"], *quantiles.values()]
    has_rows = bool(columns[0]) and isinstance(columns[0][0], list)
    rows = [[number[row] for number in columns] for row in range(len(columns[0]))] if has_rows else [columns]
    lines = [
        (row, step + 1, *values) if has_rows else (step + 1, *values)
        for row, numbers in enumerate(rows)
        for step, values in enumerate(zip(*numbers, strict=True))
    ]
    show_table((*(["ROW"] if has_rows else []), "STEP", "POINT", *quantiles), lines)
