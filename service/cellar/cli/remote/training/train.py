"""The command `train`: submits a training job with data from files, and follows it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar.cli.console import Mistake, load_settings, say, show_json
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service
from cellar.cli.remote.training.jobs import show_end
from cellar.cli.remote.training.train_dataset import Asked, Columned, headers_of, train_dataset

if TYPE_CHECKING:
    from cellar.cli.remote.training.in_process import InProcess

app = typer.Typer()

KINDS = (".npy", ".csv", ".json")

LAYOUTS = {1: "T", 2: "TF"}
"""Axes of the data by their number, unless --layout names them."""

File = typer.Option(metavar="FILE", help="Numbers in a .npy, .csv (one step a line) or .json file.")


Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="The model or version to train. With --target: a file of readings, or a dataset."
    ),
]
Targets = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column to forecast; may be repeated.")]
Columns = Annotated[
    list[str] | None, typer.Option("--input", metavar="COLUMN", help="A column to read besides; default: all others.")
]
Horizon = Annotated[int, typer.Option(min=1, help="Steps ahead that are forecast.")]
Name = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model, new or not; default: as the file.")
]
Time = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of times; default: found.")]
Series = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that names series.")]
Publish = Annotated[
    str | None, typer.Option(help="`always`: publish a model that is no better than naive forecasts too.")
]
Plot = Annotated[Path | None, typer.Option(metavar="PNG", help="Write the losses by epoch as a picture.")]
Layout = Annotated[str | None, typer.Option(help="Axes of both, as BTF; default: T, TF or TBF by their number.")]
Validation = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Fraction of the data to hold out.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A field of a job, as epochs=20 or loss=huber."),
]
Resume = Annotated[
    str | None,
    typer.Option(metavar="JOB", help="Continue an ended job, with its weights and the state of its optimiser."),
]
Key = Annotated[str | None, typer.Option(help="The same key within a day is the same job, also after a lost answer.")]
ReadsTimes = Annotated[
    bool, typer.Option("--reads-times", help="The network reads times too: its sessions take one with each step.")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the job has ended.")]


Local = Annotated[
    bool,
    typer.Option("--local", help="Train in this process, without a service, on the data directory of `cellar serve`."),
]


@app.command()
def train(
    source: Source,
    inputs: Annotated[Path | None, File] = None,
    targets: Annotated[Path | None, File] = None,
    target: Targets = None,
    input_columns: Columns = None,
    horizon: Horizon = 1,
    name: Name = None,
    time: Time = None,
    series: Series = None,
    publish: Publish = None,
    plot: Plot = None,
    layout: Layout = None,
    validation: Validation = None,
    settings: Fields = None,
    resume_from: Resume = None,
    key: Key = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    reads_times: ReadsTimes = False,
    wait: Wait = True,
    local: Local = False,
    as_json: Json = False,
) -> int:
    """Train a model on arrays from files, or a forecast on a file of readings.

    `cellar train readings.csv --target temp --horizon 24` makes a dataset of the file and a model of its name. The job
    chooses what is not given, and says why. The exit code is 1 if the job has not succeeded. The fields are those of
    docs/reference/training.md. Ctrl-C ends this command and not the job; with --local `cellar serve` continues it.
    """
    if local and not wait:
        raise Mistake("--local trains in this process, which has to wait for the job: leave out --no-wait")
    fields = fields_of(settings, validation) | ({} if resume_from is None else {"resume_from": resume_from})
    with _in_process() if local else Service(url, api_key) as service:
        if target:
            columns = Columned(target, input_columns, horizon, time, series, reads_times)
            asked = Asked(source, columns, model=name, publish=publish, plot=plot, fields=fields, key=key)
            return train_dataset(service, asked, wait=wait, as_json=as_json)
        body = job_body(source, inputs, targets, layout, fields)
        job = service.send("POST", "/v1/jobs", json=body, headers=headers_of(key))
        if wait:
            return show_end(service, job, as_json=as_json)
    show_json(job) if as_json else say(job["job"])
    return 0


def _in_process() -> "InProcess":
    from cellar.cli.remote.training.in_process import InProcess

    return InProcess(load_settings(quiet=True))


def job_body(
    model: str, inputs: Path | None, targets: Path | None, layout: str | None, fields: dict[str, Any]
) -> dict[str, Any]:
    """Return the request of a job on arrays. Raise Mistake."""
    if inputs is None or targets is None:
        raise Mistake("give --target and --horizon to forecast columns of a file, or --inputs and --targets as arrays")
    data: dict[str, Any] = {"inputs": _read(inputs), "targets": _read(targets)}
    data["layout"] = layout or LAYOUTS.get(_depth(data["inputs"]), "TBF")
    return {"model": model, "data": data, **fields}


def fields_of(settings: list[str] | None, validation: float | None) -> dict[str, Any]:
    """Return the fields of a job. Raise Mistake."""
    found = dict(map(_field, settings or []))
    return found if validation is None else found | {"validation": validation}


def _field(text: str) -> tuple[str, Any]:
    """Return a field and its value, which is JSON or a bare word. Raise Mistake.

    >>> _field("epochs=20"), _field("loss=huber")
    (('epochs', 20), ('loss', 'huber'))
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Mistake(f"--set {text}: expected FIELD=VALUE, as --set epochs=20")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _read(path: Path) -> Any:
    """Return the numbers of a file as nested lists. Raise Mistake."""
    import numpy as np

    if path.suffix.lower() not in KINDS:
        raise Mistake(f"{path}: files of this kind are not known; expected a name that ends in {', '.join(KINDS)}")
    try:
        if path.suffix.lower() == ".json":
            return json.loads(path.read_text("utf-8"))
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False).tolist()
        return np.loadtxt(path, delimiter=",", ndmin=2, skiprows=_header_lines(path)).tolist()
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Mistake(f"{path} holds no numbers: {error}") from error


def _depth(value: Any) -> int:
    """Return the number of nested arrays."""
    return 1 + _depth(value[0]) if isinstance(value, list) and value else 0


def _header_lines(path: Path) -> int:
    """Return 1 if the first line of a table has names, else 0."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip().split(",")[0]
    try:
        float(first)
    except ValueError:
        return 1
    return 0
