"""The commands `cellar forecast` and `cellar backtest`."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, progress, say, show_json, show_table
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, path_of

app = typer.Typer()

POLL_S = 0.5

MARKS = 100
"""Parts of a progress bar."""


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


@app.command()
def backtest(
    model: Annotated[str, typer.Argument(help="The model, version or alias.")],
    dataset: Annotated[str, typer.Option(help="The dataset.")],
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps ahead; default: those of the model.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Rows between forecasts; default: the horizon.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="COLUMN", help="A column that the model reads; may be repeated."),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="COLUMN", help="A column that it forecasts; may be repeated."),
    ] = None,
    start: Annotated[float, typer.Option(min=0, max=0.999, help="Share of each series before the first.")] = 0.8,
    paths: Annotated[int | None, typer.Option(min=1, help="Paths that are drawn.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_job: Annotated[bool, typer.Option("--as-job", help="Have a worker run it: for long datasets.")] = False,
    as_json: Json = False,
) -> int:
    """Forecast a dataset from many origins, and compare with what came then and with naive forecasts.

    With --as-job the command waits for the worker. If it is ended before, the backtest runs on: GET /v1/backtests lists
    it. The exit code is 1 if it has not succeeded.
    """
    body: dict[str, Any] = {"dataset": dataset, "horizon": horizon, "stride": stride, "start": start, "paths": paths}
    body |= {"inputs": inputs, "targets": targets}
    with Service(url, api_key) as service:
        given = {name: value for name, value in body.items() if value is not None}
        if as_job:
            found = _run_as_job(service, given | {"model": model})
        else:
            found = service.send("POST", path_of("models", model, "backtest"), json=given)
    if found is None:
        return 1
    (show_json if as_json else _show_metrics)(found)
    return 0


def _show_metrics(found: dict[str, Any]) -> None:
    """Print a table for each target of a backtest, with a line for the model and each naive forecast."""
    for name, target in found["targets"].items():
        say(f"{name}: {found['model']} on {found['dataset']}, {found['origins']} forecasts of {found['horizon']} steps")
        columns = [*target["metrics"]]
        lines = {found["model"]: target["metrics"], **target["baselines"]}
        rows = [(label, *(scores.get(column) for column in columns)) for label, scores in lines.items()]
        show_table(("FORECAST", *(column.upper() for column in columns)), rows)


def _run_as_job(service: Service, body: dict[str, Any]) -> dict[str, Any] | None:
    """Have a worker run a backtest, wait for it, and return its result; None if it has not succeeded."""
    found, shown = service.send("POST", "/v1/backtests", json=body), 0
    with progress(found["backtest"], MARKS) as advance:
        while found["state"] in ("queued", "running"):
            time.sleep(POLL_S)
            found = service.get(path_of("backtests", found["backtest"]))
            done = found["progress"]
            marks = MARKS * done.get("origins", 0) // done.get("origins_total", 1)
            advance(marks - shown)
            shown = marks
    if found["state"] != "succeeded":
        say(f"the backtest {found['backtest']} is {found['state']}" + (f": {found['error']}" if found["error"] else ""))
        return None
    result: dict[str, Any] | None = found["result"]
    return result


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
