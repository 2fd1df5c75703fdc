"""The commands `serve`, `worker`, `demo`, `warm` and `openapi`, as people call them."""

from pathlib import Path
from typing import Annotated

import typer

from cellar.cli import processes
from cellar.cli.console import load_settings

app = typer.Typer()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="CELLAR_HOST: address to listen on.")] = None,
    port: Annotated[str | None, typer.Option(metavar="PORT", help="CELLAR_PORT: TCP port; 0 takes a free one.")] = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="DIRECTORY", help="CELLAR_DATA_DIR: for the data of the private Redis.")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(metavar="URL", help="CELLAR_REDIS_URL: a Redis instead of the private one.")
    ] = None,
    api_processes: Annotated[
        str | None,
        typer.Option("--processes", metavar="N", help="CELLAR_PROCESSES: default: one per processor, up to 4."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar="N", help="CELLAR_WORKERS: of training; default: 1 with the private Redis."),
    ] = None,
) -> int:
    """Run the service, with a private Redis if none is given.

    Each option is a setting, and replaces the environment variable of that name. All others are variables only:
    `cellar settings` lists them.
    """
    given = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "redis_url": redis_url,
        "processes": api_processes,
        "workers": workers,
    }
    return processes.run_service({name: value for name, value in given.items() if value is not None})


@app.command()
def worker(
    *,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 0 if a worker of this host is alive.")] = False,
) -> int:
    """Run training jobs from the queue in CELLAR_REDIS_URL."""
    settings = load_settings()
    return processes.check_worker(settings) if check else processes.run_worker(settings, parent)


@app.command()
def demo(
    *, once: Annotated[bool, typer.Option("--once", help="Exit at the end, with 0 if the demo succeeded.")] = False
) -> int:
    """Train on real measurements, stream, kill the service and continue."""
    return processes.demo(load_settings(), once=once)


@app.command()
def warm(
    target: Annotated[
        list[str] | None, typer.Option(metavar="CPU", help="x86-64-v3, x86-64-v4 ...; default: this machine's.")
    ] = None,
) -> None:
    """Compile all built-in kernels, so that later starts are fast."""
    processes.warm(load_settings(), target or [])


@app.command()
def openapi(
    file: Annotated[Path | None, typer.Argument(help="The file to write; default: standard output.")] = None,
    *,
    streams: Annotated[bool, typer.Option("--streams", help="The AsyncAPI document of the streams instead.")] = False,
) -> None:
    """Write the OpenAPI document."""
    load_settings()
    processes.openapi(file, streams=streams)
