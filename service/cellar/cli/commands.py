"""The command `cellar` and its subcommands.

Each subcommand imports what it needs when it runs, so that the parent process of `cellar serve` stays small.
"""

import argparse
import sys
import sysconfig
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cellar import __version__, logs
from cellar.errors import StartupError
from cellar.settings import Settings

CANNOT_START = 78
"""Exit code if the process cannot start with these settings or on this machine: EX_CONFIG of sysexits.h."""

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        _refuse_free_threading()
        given = {name: getattr(options, name, None) for name in ("processes", "workers")}
        settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
        logs.configure(settings.log_level, as_json=settings.log_json)
        return int(options.run(settings, options) or 0)
    except StartupError as error:
        print(f"cellar: {error.detail}", file=sys.stderr)
        return CANNOT_START


def _refuse_free_threading() -> None:
    """Raise StartupError on a Python that is built without the global interpreter lock.

    Counters, caches and the loader of kernels are shared by threads and rely on the lock.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise StartupError("Cellar does not run on a free-threaded build of Python (3.13t, 3.14t): use another build")


def serve(settings: Settings, _options: argparse.Namespace) -> int:
    """Run the service until a signal stops it."""
    from cellar.embedded.serve import serve

    settings.check_address()
    return serve(settings, [sys.executable, "-P", "-m", "cellar.cli"], say)


def api(settings: Settings, options: argparse.Namespace) -> None:
    """Run an api process, as a child of `serve`."""
    from cellar import machine, process
    from cellar.embedded.place import Place

    place = Place.of(options.place)
    process.end_with_parent(place.parent)
    machine.share_processors(place.slots)
    from cellar import main

    main.serve(settings.divided(place.slots), place)


def worker(settings: Settings, options: argparse.Namespace) -> None:
    """Run training jobs until a signal stops the process."""
    from cellar import main, process

    if options.parent is not None:
        process.end_with_parent(options.parent)
    main.work(settings)


def check_worker(settings: Settings, _options: argparse.Namespace) -> int:
    """Return 0 if a worker of this host is alive, else 1."""
    from cellar import main
    from cellar.errors import StoreUnavailable

    try:
        return 0 if main.worker_is_alive(settings) else 1
    except StoreUnavailable:
        return 1


def warm(settings: Settings, options: argparse.Namespace) -> None:
    """Compile the kernels of all built-in cells, layers, losses and optimisers."""
    from cellar import main

    main.warm(settings, options.target, say)


def demo(settings: Settings, options: argparse.Namespace) -> int:
    """Run the demo: forecast real measurements with a service that is killed half way."""
    try:
        from cellar.demo.script import run
    except ModuleNotFoundError as error:
        if error.name != "cellar_client":
            raise
        raise StartupError("the demo needs the Python client: pip install ./clients/python") from error
    return run(settings, once=options.once)


def openapi(_settings: Settings, options: argparse.Namespace) -> None:
    """Write the OpenAPI document, or with `--streams` the AsyncAPI document."""
    from cellar.api.specs import asyncapi as streams
    from cellar.api.specs import openapi as http

    text = streams.text() if options.streams else http.text()
    if options.file is None:
        print(text, end="")
    else:
        _write(options.file, text)


def import_file(settings: Settings, options: argparse.Namespace) -> int:
    """Read a network's file, and publish it as a model of a running service."""
    from cellar.cli import import_file
    from cellar.errors import CellarError

    asked = import_file.Import(
        options.file, import_file.listed(options.modules), import_file.listed(options.ignore) or (), options.graph
    )
    url = options.url or f"http://{settings.host}:{settings.port}"
    try:
        for line in import_file.run(asked, url, options.name, options.session, options.output):
            print(line)
    except CellarError as error:
        print(f"cellar: {import_file.explain(error)}", file=sys.stderr)
        return 1
    return 0


def keys(settings: Settings, options: argparse.Namespace) -> int:
    """Make, list, rotate or revoke API keys."""
    from cellar.cli import keys
    from cellar.errors import CellarError

    try:
        if options.action == "create":
            keys.create(settings, options.tenant, options.name, options.scopes, options.expires_in, say)
        elif options.action == "list":
            keys.show_all(settings, options.tenant, as_json=options.json, say=say)
        elif options.action == "rotate":
            keys.rotate(settings, options.id, options.overlap, say)
        else:
            keys.revoke(settings, options.id, say)
    except StartupError:
        raise
    except CellarError as error:
        print(f"cellar: {error.detail}", file=sys.stderr)
        return 1
    return 0


def _write(file: Path, text: str) -> None:
    """Write a file. Raise StartupError if it cannot be written."""
    try:
        file.write_text(text)
    except OSError as error:
        raise StartupError(f"cannot write {file}: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellar",
        description="An HTTP service for recurrent networks that keeps their hidden state between requests.",
        epilog="Settings are environment variables: CELLAR_REDIS_URL, CELLAR_HOST, CELLAR_PORT, CELLAR_DATA_DIR ...",
    )
    parser.add_argument("--version", action="version", version=f"cellar {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    work = commands.add_parser("worker", help="run training jobs from the queue in CELLAR_REDIS_URL")
    work.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    work.add_argument(
        "--check", dest="run", action="store_const", const=check_worker, help="exit with 0 if a worker lives here"
    )
    work.set_defaults(run=worker)
    beforehand = commands.add_parser("warm", help="compile all built-in kernels, so that later starts are fast")
    beforehand.add_argument(
        "--target", action="append", default=[], metavar="CPU", help="x86-64-v3, x86-64-v4 ...; default: this machine's"
    )
    beforehand.set_defaults(run=warm)
    show = commands.add_parser("demo", help="train on real measurements, stream, kill the service and continue")
    show.add_argument("--once", action="store_true", help="exit at the end, with 0 if the demo succeeded")
    show.set_defaults(run=demo)
    bring = commands.add_parser("import", help="publish a network from a file of another framework")
    bring.add_argument("file", type=Path, help="model.pt, model.safetensors, model.keras, model.onnx, model.npz ...")
    bring.add_argument("--name", required=True, help="of the model; a name that is taken gets its next version")
    bring.add_argument("--modules", help="PyTorch and Flux: modules in the order of their calls, as lstm,relu,head")
    bring.add_argument("--ignore", help="PyTorch: beginnings of the names of tensors to leave out")
    bring.add_argument("--graph", help="ONNX: host the graph as it is, with these options as JSON; {} for none")
    bring.add_argument("--url", help="of the service; default: http://CELLAR_HOST:CELLAR_PORT")
    bring.add_argument("--session", help="open a session of this name")
    bring.add_argument("--output", type=Path, help="write a safetensors file instead of sending anything")
    bring.set_defaults(run=import_file)
    _add_keys(commands.add_parser("keys", help="make, list, rotate and revoke API keys"))
    document = commands.add_parser("openapi", help="write the OpenAPI document")
    document.add_argument("file", type=Path, nargs="?", help="the file to write; default: standard output")
    document.add_argument("--streams", action="store_true", help="the AsyncAPI document of the streams instead")
    document.set_defaults(run=openapi)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`, and `api`, which only `serve` starts: it has no help, so it is not listed."""
    run = commands.add_parser("serve", help="run the service, with a private Redis if none is given")
    run.add_argument(
        "--processes", type=int, metavar="N", help="api processes; default: one for each processor, up to 4"
    )
    run.add_argument("--workers", type=int, metavar="N", help="training workers; default: 1 with the private Redis")
    run.set_defaults(run=serve)
    child = commands.add_parser("api")
    child.add_argument("place")
    child.set_defaults(run=api)


def _add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `cellar keys`."""
    parser.set_defaults(run=keys)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key, which is shown once")
    create.add_argument("--tenant", default="default", help="whose models and sessions it is for (default: default)")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--scopes", default="read,step", help="read, step, train, admin (default: read,step)")
    create.add_argument("--expires-in", metavar="TIME", help="when it ends, as 90d or 12h; default: it does not")
    every = actions.add_parser("list", help="list the keys")
    every.add_argument("--tenant", help="only this tenant's")
    every.add_argument("--json", action="store_true", help="as JSON")
    rotate = actions.add_parser("rotate", help="make a key in the place of another, which ends a little later")
    rotate.add_argument("id")
    rotate.add_argument("--overlap", default="1h", metavar="TIME", help="how long the old one lasts (default: 1h)")
    revoke = actions.add_parser("revoke", help="end a key in all processes, within a second")
    revoke.add_argument("id")
