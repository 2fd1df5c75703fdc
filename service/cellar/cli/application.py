"""The commands as typer knows them, each imported when it is called."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cellar import __version__
from cellar.cli.console import say

COMMANDS = {
    "serve": "process_commands",
    "worker": "process_commands",
    "demo": "process_commands",
    "status": "remote.status",
    "ps": "remote.watch",
    "models": "remote.models",
    "sessions": "remote.sessions",
    "datasets": "remote.training.datasets",
    "jobs": "remote.training.jobs",
    "train": "remote.training.train",
    "sweep": "remote.training.sweep",
    "forecast": "remote.forecasts",
    "backtest": "remote.forecasts",
    "import": "remote.exchange",
    "export": "remote.exchange",
    "bench": "remote.bench",
    "keys": "tenancy.key_commands",
    "tenants": "tenancy.tenants",
    "settings": "installation.settings",
    "doctor": "installation.doctor",
    "backup": "installation.backup",
    "restore": "installation.backup",
    "warm": "process_commands",
    "openapi": "process_commands",
}
"""The commands in the order of `cellar --help`, and the module below `cellar.cli` whose `app` has each of them."""


class CommandGroup(TyperGroup):
    """The root of the commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names for suggestions, without an import

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        app: typer.Typer = import_module(f"cellar.cli.{COMMANDS[cmd_name]}").app
        found = typer.main.get_group(app)
        return found if app.info.name == cmd_name else found.commands[cmd_name]


app = typer.Typer(cls=CommandGroup, epilog="Settings are environment variables: `cellar settings` lists them.")


def _show_version(asked: bool) -> None:
    if asked:
        say(f"cellar {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """An HTTP service for recurrent networks that keeps their hidden state between requests."""


def group() -> TyperGroup:
    """Return the root of the commands."""
    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return found


def help_of(error: typer.TyperException) -> str:
    """Return the command that shows the help of the command whose line was refused."""
    context = getattr(error, "ctx", None)
    return "cellar" if context is None else str(context.command_path)
