"""The commands `cellar datasets add`, `list`, `show`, `export` and `delete`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cellar.cli.console import Mistake, confirm, progress, say, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url, Yes
from cellar.cli.remote.connection import Service, pages, path_of

app = typer.Typer(name="datasets", help="Add, list, show, export and delete datasets.")

TYPES = {
    ".csv": "text/csv",
    ".txt": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".safetensors": "application/safetensors",
    ".parquet": "application/vnd.apache.parquet",
    ".pq": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}
"""Media types by the ending of a file's name."""

PART_BYTES = 1024 * 1024

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="The name of the dataset.")]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"A file of readings: {', '.join(TYPES)}.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset. Default: that of the file.")] = None,
    targets: Annotated[str | None, typer.Option(help="Columns to be predicted, separated by commas.")] = None,
    time: Annotated[
        str | None, typer.Option(help="The column with times. Default: the only one that has them.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="The column that names the series of each row.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times without an offset. Default: UTC.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another parameter of POST /v1/datasets, as missing=-999."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Send a file of readings, which the service keeps as a dataset. The same file again changes nothing."""
    kind = TYPES.get(file.suffix.lower())
    if kind is None:
        raise Mistake(f"{file}: its name ends with none of {', '.join(TYPES)}")
    query = {"name": name or file.stem, "targets": targets, "time": time, "series": series, "timezone": timezone}
    for option in options or ():
        key, is_pair, value = option.partition("=")
        if not is_pair:
            raise Mistake(f"--set {option}: expected NAME=VALUE")
        query[key] = value
    try:
        size = file.stat().st_size
        with Service(url, api_key) as service, progress(f"send {file.name}", size) as advance:
            content = _parts(file, advance)
            headers = {"Content-Type": kind, "Content-Length": str(size)}
            found = service.send("POST", "/v1/datasets", tries=1, params=query, content=content, headers=headers)
    except OSError as error:
        raise Mistake(f"cannot read {file}: {error.strerror or error}") from error
    _show(found, as_json=as_json)


def _parts(file: Path, advance: Any) -> Iterator[bytes]:
    """Yield the parts of a file."""
    with file.open("rb") as opened:
        while part := opened.read(PART_BYTES):
            yield part
            advance(len(part))


@app.command(name="list")
def list_datasets(
    limit: Annotated[int | None, typer.Option(min=1, help="Most datasets.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List datasets by name."""
    with Service(url, api_key) as service:
        found = list(pages(service, "/v1/datasets", "datasets", {}, limit))
    if as_json:
        return show_json({"datasets": found})
    rows = [(each["dataset"], each["rows"], each["series"], each["size_bytes"], each["created"]) for each in found]
    return show_table(("DATASET", "ROWS", "SERIES", "BYTES", "CREATED"), rows)


@app.command()
def show(dataset: Dataset, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Show a dataset and the statistics of its columns."""
    with Service(url, api_key) as service:
        found = service.get(path_of("datasets", dataset))
        statistics = service.get(path_of("datasets", dataset, "statistics"))["columns"]
    if as_json:
        return show_json({**found, "statistics": statistics})
    _show(found, as_json=False)
    roles = {column["name"]: column["role"] or "" for column in found["columns"]}
    names = ("name", "type", "count", "missing", "min", "mean", "max")
    rows = [tuple("" if line[each] is None else line[each] for each in names) for line in statistics]
    return show_table(
        ("COLUMN", "ROLE", "TYPE", "COUNT", "MISSING", "MIN", "MEAN", "MAX"),
        [(row[0], roles[str(row[0])], *row[1:]) for row in rows],
    )


@app.command()
def export(
    dataset: Dataset,
    form: Annotated[str, typer.Option("--format", help="csv or ndjson.")] = "csv",
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Write all rows of a dataset to standard output, as CSV or NDJSON."""
    path = path_of("datasets", dataset, "export")
    with Service(url, api_key) as service, service.download(path, {"format": form}) as answer:
        for part in answer.iter_bytes():
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


@app.command()
def delete(
    dataset: Dataset, url: Url = None, api_key: ApiKey = None, *, yes: Yes = False, as_json: Json = False
) -> None:
    """Delete a dataset that no job needs."""
    with Service(url, api_key) as service:
        service.get(path_of("datasets", dataset))
        confirm(f"Delete the dataset {dataset}?", yes=yes)
        service.send("DELETE", path_of("datasets", dataset))
    return show_json({"deleted": dataset}) if as_json else say(f"{dataset} is deleted")


def _show(dataset: dict[str, Any], *, as_json: bool) -> None:
    """Print a dataset, without its columns in text."""
    found = {name: value for name, value in dataset.items() if as_json or name != "columns"}
    return show_json(found) if as_json else show_members(found)
