"""Runs the processes of a service: `serve`, its children `api` and `worker`, and `warm`, `demo` and `openapi`.

The commands that people call are declared in `process_commands`; this module is imported without typer.
"""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellar.cli.console import Mistake, load_settings, say, unknown_variables
from cellar.errors import SettingsInvalid, StartupError

if TYPE_CHECKING:
    from cellar.settings import Settings

OPTIONS = {
    "--host": "host",
    "--port": "port",
    "--data-dir": "data_dir",
    "--redis-url": "redis_url",
    "--processes": "processes",
    "--workers": "workers",
}
"""Options of `cellar serve`, and the setting that each replaces."""


def plain_options(words: Sequence[str]) -> dict[str, str] | None:
    """Return the settings that options of `serve` give, None if typer has to read them: `--help`, `--port=1`, faults.

    >>> plain_options(["--port", "8081", "--workers", "0"]), plain_options(["--prot", "1"])
    ({'port': '8081', 'workers': '0'}, None)
    """
    names, values = words[::2], words[1::2]
    if len(names) > len(values) or not OPTIONS.keys() >= set(names) or any(value.startswith("-") for value in values):
        return None
    return {OPTIONS[name]: value for name, value in zip(names, values, strict=True)}


def run_service(given: Mapping[str, str]) -> int:
    """Run the service until a signal stops it, with settings that replace those of the environment.

    Raise StartupError if it cannot start, or Mistake for a given value that is not allowed.
    """
    from cellar.embedded.serve import serve

    settings = _settings_with(given)
    settings.check_address()
    for sentence in unknown_variables():
        print(f"cellar: {sentence}", file=sys.stderr)
    return serve(settings, [sys.executable, "-P", "-m", "cellar.cli"], say)


def _settings_with(given: Mapping[str, str]) -> "Settings":
    """Return the settings, with those that were given written to the environment, where child processes find them."""
    options = {f"CELLAR_{name.upper()}": option for option, name in OPTIONS.items() if name in given}
    for name, value in given.items():
        os.environ[f"CELLAR_{name.upper()}"] = str(Path(value).absolute()) if name == "data_dir" else value
    try:
        return load_settings()
    except SettingsInvalid as error:
        detail = error.detail
        for variable, option in options.items():
            detail = detail.replace(f"{variable}=", f"{option} ").replace(variable, option)
        if detail != error.detail:
            raise Mistake(detail) from error
        raise


def run_api(settings: "Settings", place_text: str) -> int:
    """Run an api process, as a child of `serve`."""
    gc.disable()  # until the server has started: what is imported stays, and a sixth of the start went into collections
    from cellar import machine, process
    from cellar.embedded.place import Place

    place = Place.of(place_text)
    process.end_with_parent(place.parent)
    machine.share_processors(place.slots)
    from cellar import main

    main.serve(settings.divided(place.slots), place)
    return 0


def run_worker(settings: "Settings", parent: int | None = None) -> int:
    """Run training jobs until a signal stops the process, or its parent ends."""
    gc.disable()  # until the worker begins
    from cellar import main, process

    if parent is not None:
        process.end_with_parent(parent)
    main.work(settings)
    return 0


def check_worker(settings: "Settings") -> int:
    """Return 0 if a worker of this host is alive, else 1. A container runs this often, so it imports little."""
    from cellar.errors import SettingsInvalid, StoreUnavailable
    from cellar.jobs import worker
    from cellar.jobs.queue import JobQueue, queue_name
    from cellar.store.topology.factory import sync_client

    url = settings.queue_url or settings.redis_url
    if url is None:
        raise SettingsInvalid("CELLAR_REDIS_URL is not set: it names the Redis of the worker")
    try:
        return 0 if worker.is_alive(JobQueue(sync_client(url), queue_name(settings.key_prefix))) else 1
    except StoreUnavailable:
        return 1


def warm(settings: "Settings", targets: Sequence[str]) -> None:
    """Compile the kernels of all built-in cells, layers, losses and optimisers."""
    from cellar import main

    main.warm(settings, targets, say)


def demo(settings: "Settings", *, once: bool) -> int:
    """Run the demo: forecast real measurements with a service that is killed half way."""
    try:
        from cellar.demo.script import run
    except ModuleNotFoundError as error:
        if error.name != "cellar_client":
            raise
        raise StartupError("the demo needs the Python client: pip install ./clients/python") from error
    return run(settings, once=once)


def openapi(file: Path | None, *, streams: bool) -> None:
    """Write the OpenAPI document, or with `streams` the AsyncAPI document. Raise StartupError."""
    from cellar.api.specs import asyncapi, openapi

    text = asyncapi.text() if streams else openapi.text()
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text)
    except OSError as error:
        raise StartupError(f"cannot write {file}: {error.strerror}") from error
