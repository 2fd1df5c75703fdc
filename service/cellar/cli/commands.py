"""The command `cellar`: runs a subcommand, and turns errors into one line and an exit code.

The processes of a service are started without typer, whose import takes a twentieth of a second.
"""

import os
import sys
import sysconfig
from collections.abc import Callable, Sequence

from cellar import __version__
from cellar.cli import processes
from cellar.cli.console import Mistake, load_settings, say
from cellar.errors import CellarError, InvalidInput, StartupError

__all__ = ["CANNOT_START", "MISTAKE", "main", "say"]

MISTAKE = 2
"""Exit code if a command cannot do what it was asked for: a wrong option, an unknown model, a service that is down."""

CANNOT_START = 78
"""Exit code if the process cannot start with these settings or on this machine: EX_CONFIG of sysexits.h."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _refuse_free_threading()
        run = _of_a_process(words)
        return _run_application(words) if run is None else run()
    except (Mistake, CellarError) as error:
        print(f"cellar: {explain(error)}", file=sys.stderr)
        return CANNOT_START if isinstance(error, StartupError) else MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse_free_threading() -> None:
    """Raise StartupError on a Python that is built without the global interpreter lock.

    Counters, caches and the loader of kernels are shared by threads and rely on the lock.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise StartupError("Cellar does not run on a free-threaded build of Python (3.13t, 3.14t): use another build")


def _of_a_process(words: Sequence[str]) -> Callable[[], int] | None:
    """Return the function of a process of a service, None for a command that typer has to read."""
    match words:
        case ["--version"]:
            return _show_version
        case ["api", place]:
            return lambda: processes.run_api(load_settings(), place)
        case ["worker", "--parent", parent] if parent.isdecimal():
            return lambda: processes.run_worker(load_settings(), int(parent))
        case ["serve", *options]:
            given = processes.plain_options(options)
            return None if given is None else lambda: processes.run_service(given)
    return None


def _show_version() -> int:
    say(f"cellar {__version__}")
    return 0


def _run_application(words: Sequence[str]) -> int:
    """Run a command with typer, and return its exit code. Raise Mistake if typer refuses the command line."""
    from typer import Abort, TyperException

    from cellar.cli.application import group, help_of

    try:
        return int(group().main(words or ["--help"], prog_name="cellar", standalone_mode=False) or 0)
    except TyperException as error:
        raise Mistake(f"{error.format_message().rstrip('.')}; try `{help_of(error)} --help`") from error
    except Abort:
        return INTERRUPTED


def explain(error: Exception) -> str:
    """Return an error as a line: what is wrong, where, what was expected and found, and what to do."""
    members = ("place", "pointer", "expected", "actual", "remedy") if isinstance(error, InvalidInput) else ()
    return "; ".join([str(error), *(f"{name}: {value}" for name in members if (value := getattr(error, name, None)))])
