"""The parts that all commands share: their output, their settings, and the error for mistakes of the user."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cellar.settings import Settings

say = partial(print, flush=True)

OTHER_VARIABLES = ("CELLAR_API_KEY", "CELLAR_PURE", "CELLAR_URL")
"""Variables of the environment that are no settings of the service."""

OF_OTHERS = ("CELLAR_SERVICE_", "CELLAR_PORT_")
"""Beginnings of variables that Kubernetes sets for a service with the name `cellar`."""


class Mistake(Exception):
    """An error that the user of a command can mend; its text says how."""


def load_settings(*, quiet: bool = False) -> "Settings":
    """Return the settings of the environment, with logging configured as they say. Raise SettingsInvalid.

    `quiet` logs warnings and errors alone.
    """
    from cellar import logs
    from cellar.settings import Settings

    settings = Settings.load()
    level = "warning" if quiet and settings.log_level in ("debug", "info") else settings.log_level
    logs.configure(level, as_json=settings.logs_json)
    return settings


def unknown_variables() -> Iterable[str]:
    """Yield a sentence for each variable CELLAR_* of the environment that is no setting, with the nearest one."""
    from cellar.errors.suggestions import suggestion
    from cellar.settings import Settings

    known = [*(f"CELLAR_{name.upper()}" for name in Settings.model_fields), *OTHER_VARIABLES]
    for name in sorted(os.environ):
        if name.startswith("CELLAR_") and name not in known and not name.startswith(OF_OTHERS):
            yield f"the environment variable {name} is no setting{suggestion(name, known)}"


def show_json(document: Any) -> None:
    """Print a document as JSON."""
    say(json.dumps(document, indent=1, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table, with columns as wide as their longest text; a terminal's width cuts nothing."""
    lines = [columns, *([_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_members(document: Mapping[str, Any]) -> None:
    """Print the members of a document, one a line."""
    width = max(map(len, document), default=0)
    for name, value in document.items():
        say(f"{name.ljust(width)}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal before something is deleted, unless `yes`. Raise Mistake if it must not be."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Mistake(f"{question} There is no terminal to ask on: repeat the command with --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Mistake("nothing was changed")


class Advance(Protocol):
    """Takes what was done since the last call, and what is done now, if that has changed."""

    def __call__(self, done: int, title: str | None = None, /) -> None:
        """Move the bar."""


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on the terminal while something long runs; yield a function that takes what was done since.

    Nothing is shown if standard error is no terminal. `total` is None if it is not known.
    """
    if not sys.stderr.isatty():
        yield lambda _, __=None, /: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, title=None, /: bar.update(task, advance=done, description=title)
