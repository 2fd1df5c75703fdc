"""The commands `cellar sweep start`, `add`, `finish`, `list`, `show`, `follow`, `cancel` and `delete`."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, confirm, say, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url, Yes
from cellar.cli.plots import text_plot
from cellar.cli.remote.connection import Service, pages, path_of
from cellar.cli.remote.training.job_events import events
from cellar.cli.remote.training.train import File, fields_of, job_body

app = typer.Typer(name="sweep", help="Search for the best settings of a training job.")

OPEN = ("waiting", "running")

POLL_S = 0.5
"""Seconds between two readings of a trial."""

Name = Annotated[str, typer.Argument(metavar="SWEEP", help="The name of the sweep.")]

Model = Annotated[
    str | None, typer.Argument(help="The model or version that each trial trains; a new name with --dataset.")
]
Tried = Annotated[
    list[str] | None,
    typer.Option("--try", metavar="FIELD=VALUES", help="As batch_size=16,32 or optimiser.learning_rate=1e-4..0.1:log."),
]
Request = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A JSON file with the whole request, as for POST /v1/sweeps; - is standard input."
    ),
]
Layout = Annotated[str | None, typer.Option(help="Axes of both, as BTF; default: T, TF or TBF.")]
Validation = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Fraction of the data to hold out.")]
Fields = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the job, as epochs=20.")
]


@app.command()
def start(
    model: Model = None,
    parameters: Tried = None,
    request: Request = None,
    inputs: Annotated[Path | None, File] = None,
    targets: Annotated[Path | None, File] = None,
    dataset: Annotated[str | None, typer.Option(help="A dataset, in place of files.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="A column of the dataset to forecast.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps ahead that are forecast.")] = None,
    layout: Layout = None,
    validation: Validation = None,
    settings: Fields = None,
    search: Annotated[str, typer.Option(help="grid, random, halving or external.")] = "grid",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of a random search or a halving.")] = None,
    objective: Annotated[str, typer.Option(help="The compared measure: loss, mae or skill.")] = "loss",
    alias: Annotated[str | None, typer.Option(help="An alias that is moved to the best version.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Most trials that run at a time; default: 8.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the trials until the sweep has ended.")] = True,
    as_json: Json = False,
) -> int:
    """Begin a sweep with a dataset, data from files or a request. The exit code is 1 if it has not succeeded.

    The values of a field are a list, or a range MIN..MAX with :log, :int or the number of values in a grid behind it.
    With `--search external` there are none: `cellar sweep add` adds trials.
    """
    job_given = model, parameters, inputs, targets, dataset, target, horizon, layout, validation, settings
    if request is not None:
        if any((*job_given, trials, alias, max_parallel)) or (search, objective) != ("grid", "loss"):
            raise Mistake("expected --request alone: the file has the model, the data and what is tried")
        body = _request(request)
    else:
        if not model or bool(parameters) == (search == "external"):
            raise Mistake("expected MODEL and --try FIELD=VALUES, MODEL and --search external, or --request FILE")
        columns, fields = _columns(dataset, target, horizon), fields_of(settings, validation)
        job = _job(model, columns, inputs, targets, layout, fields)
        body = {"job": job, "parameters": dict(map(_parameter, parameters or [])), "publish": {"alias": alias}}
        body |= {"search": {"type": search} | _given(trials=trials), "objective": objective}
        body |= _given(max_parallel=max_parallel)
    with Service(url, api_key) as service:
        return _begin(service, body, wait=wait, as_json=as_json)


@app.command()
def add(
    sweep: Name,
    values: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE", help="Of the job, as epochs=20.")],
    url: Url = None,
    api_key: ApiKey = None,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the trial has ended.")] = True,
    as_json: Json = False,
) -> int:
    """Add a trial to a sweep with an external search. The exit code is 1 if it has not succeeded."""
    with Service(url, api_key) as service:
        path, body = path_of("sweeps", sweep, "trials"), {"parameters": dict(map(_setting, values))}
        trial = service.send("POST", path, json=body)
        while wait and trial["state"] in OPEN:
            time.sleep(POLL_S)
            trial = service.get(f"{path}/{trial['trial']}")
    show_json(trial) if as_json else show_members(trial)
    return 1 if trial["state"] in ("failed", "cancelled") else 0


@app.command()
def finish(sweep: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Close a sweep with an external search: when its trials have ended, the best result is published."""
    with Service(url, api_key) as service:
        _show(service, service.send("POST", path_of("sweeps", sweep, "finish")), as_json=as_json)


@app.command(name="list")
def list_sweeps(
    limit: Annotated[int, typer.Option(min=1, help="Most sweeps.")] = 100,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List sweeps, the newest first."""
    with Service(url, api_key) as service:
        found = list(pages(service, "/v1/sweeps", "sweeps", {}, limit))
    if as_json:
        return show_json({"sweeps": found})
    rows = [(each["sweep"], each["state"], each["model"], each["result"], each["created"]) for each in found]
    return show_table(("SWEEP", "STATE", "MODEL", "RESULT", "CREATED"), rows)


@app.command()
def show(sweep: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Show a sweep with its trials, the best first, and a plot of the losses of the best."""
    with Service(url, api_key) as service:
        _show(service, service.get(path_of("sweeps", sweep)), as_json=as_json)


@app.command()
def follow(sweep: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> int:
    """Show the trials of a sweep as they end, until it has ended. The exit code is 1 if it has not succeeded."""
    with Service(url, api_key) as service:
        return _follow(service, sweep, as_json=as_json)


@app.command()
def cancel(sweep: Name, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Cancel a sweep with its jobs."""
    with Service(url, api_key) as service:
        _show(service, service.send("POST", path_of("sweeps", sweep, "cancel")), as_json=as_json)


@app.command()
def delete(sweep: Name, url: Url = None, api_key: ApiKey = None, *, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a sweep that has ended, with its jobs. The version that it has published stays."""
    with Service(url, api_key) as service:
        confirm(f"Delete the sweep {sweep} and its jobs?", yes=yes)
        service.send("DELETE", path_of("sweeps", sweep))
    show_json({"sweep": sweep, "deleted": True}) if as_json else say(f"{sweep} is deleted")


def _begin(service: Service, body: dict[str, Any], *, wait: bool, as_json: bool) -> int:
    """Begin a sweep, and show its trials if it is waited for."""
    sweep = service.send("POST", "/v1/sweeps", json=body)
    if wait and sweep["search"]["type"] != "external":
        return _follow(service, sweep["sweep"], as_json=as_json)
    show_json(sweep) if as_json else say(sweep["sweep"])
    return 0


def _columns(dataset: str | None, target: list[str] | None, horizon: int | None) -> dict[str, Any]:
    """Return the data of a job on a dataset, as far as options have it."""
    found = {"dataset": dataset, "targets": target, "horizon": horizon}
    return {name: value for name, value in found.items() if value}


def _job(
    model: str,
    columns: dict[str, Any],
    inputs: Path | None,
    targets: Path | None,
    layout: str | None,
    fields: dict[str, Any],
) -> dict[str, Any]:
    """Return the job of a sweep, on a dataset or on files. Raise Mistake for a mixture."""
    if "dataset" in columns and inputs is None and targets is None and layout is None:
        return {"model": model, "data": columns, **fields}
    if columns or inputs is None or targets is None:
        raise Mistake("expected --dataset, with --target and --horizon, or --inputs and --targets")
    return job_body(model, inputs, targets, layout, fields)


def _parameter(text: str) -> tuple[str, Any]:
    """Return a field and its values. Raise Mistake.

    >>> _parameter("batch_size=16,32"), _parameter("optimiser.learning_rate=1e-4..0.1:log")
    (('batch_size', [16, 32]), ('optimiser.learning_rate', {'min': 0.0001, 'max': 0.1, 'scale': 'log'}))
    >>> _parameter("window=8..64:int:4")
    ('window', {'min': 8.0, 'max': 64.0, 'integer': True, 'count': 4})
    """
    name, separator, values = text.partition("=")
    try:
        if not separator or not name:
            raise ValueError
        if ".." not in values:
            return name, [_value(value) for value in values.split(",")]
        ends, *words = values.split(":")
        least, _, most = ends.partition("..")
        found: dict[str, Any] = {"min": float(least), "max": float(most)}
        for word in words:
            found |= {"scale": "log"} if word == "log" else {"integer": True} if word == "int" else {"count": int(word)}
    except ValueError:
        raise Mistake(
            f"--try {text}: expected FIELD=VALUES, as --try batch_size=16,32 or optimiser.learning_rate=1e-4..0.1:log"
        ) from None
    return name, found


def _setting(text: str) -> tuple[str, Any]:
    """Return a field and its value. Raise Mistake."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Mistake(f"{text}: expected FIELD=VALUE, as epochs=20")
    return name, _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def _request(path: Path) -> dict[str, Any]:
    """Return the request in a JSON file, or on standard input. Raise Mistake."""
    name = "standard input" if str(path) == "-" else path
    try:
        found = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text("utf-8"))
    except OSError as error:
        raise Mistake(f"{name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Mistake(f"{name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Mistake(f"{name}: expected a JSON object with `job` and `parameters`, as for POST /v1/sweeps")
    return found


def _follow(service: Service, sweep: str, *, as_json: bool) -> int:
    """Show the trials of a sweep as they end, then the sweep; return the exit code. Raise Mistake for Ctrl-C."""
    path = path_of("sweeps", sweep)
    begun = service.get(path)
    of = "" if begun["search"]["type"] == "external" else f" of {max(each['trial'] for each in begun['trials'])}"
    try:
        for kind, data in events(service, f"{path}/events"):
            if not as_json and kind == "trial" and data["state"] not in OPEN:
                value = "" if data["value"] is None else f", {data['value']:.6g}"
                say(f"trial {data['number']}{of} {data['state']}{value}: {_words(data['parameters'])}")
    except KeyboardInterrupt:
        raise Mistake(f"the sweep {sweep} runs without this command: `cellar sweep follow {sweep}`") from None
    found = service.get(path)
    _show(service, found, as_json=as_json)
    return 0 if found["state"] == "succeeded" else 1


def _words(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _show(service: Service, sweep: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return show_json(sweep)
    show_members({name: value for name, value in sweep.items() if name not in ("trials", "parameters", "best")})
    rows = [
        (each["trial"], each["epochs"], each["state"], each["value"], _words(each["parameters"]))
        for each in sweep["trials"]
    ]
    show_table(("TRIAL", "EPOCHS", "STATE", sweep["objective"].upper(), "PARAMETERS"), rows)
    for curve in service.get(path_of("sweeps", sweep["sweep"], "curves"), {"limit": 1})["curves"]:
        losses = [value for value in curve["validation_loss"] if value is not None] or curve["loss"]
        if len(losses) > 1:
            say(f"\nloss of trial {curve['trial']} by epoch")
            say("\n".join(text_plot(losses)))
    return None
