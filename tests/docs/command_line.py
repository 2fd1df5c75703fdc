"""The page docs/reference/command-line.md, as the declarations of the commands have it (`make openapi` writes it)."""

from collections.abc import Iterator
from typing import Any

from cellar.cli.application import group

PAGE = "reference/command-line.md"

INTRODUCTION = """# Command line

`cellar COMMAND --help` shows what this page shows; tests compare it with the code.

- Commands that talk to a service find it with `--url` or `CELLAR_URL`, else at `CELLAR_HOST` and `CELLAR_PORT`; they
  send the key of `--api-key` or `CELLAR_API_KEY`.
- With `--json` a command prints one JSON document to standard output. Questions, progress bars and errors go to the
  standard error; bars are only shown on a terminal.
- An error that you can mend is one line. Exit codes: 0 success, 1 a negative result (a fault that `doctor` found, a
  training job that failed, no worker), 2 a mistake in the command line, or something that cannot be done, 78 a process
  that cannot start with these settings or on this machine, 130 after Ctrl-C.
- `cellar --install-completion` installs the completion of commands and options for your shell; `--show-completion`
  prints it.
"""


def text() -> str:
    """Return the text of the page."""
    return "\n".join([INTRODUCTION, *_sections("cellar", group())])


def _sections(path: str, command: Any) -> Iterator[str]:
    """Yield a section for each command below one."""
    for name in command.list_commands(None):
        child = command.get_command(None, name)
        inner = f"{path} {name}"
        if hasattr(child, "commands"):
            yield f"## {inner}\n\n{_help(child)}\n"
            yield from _sections(inner, child)
        else:
            yield f"{'##' if path == 'cellar' else '###'} {inner}\n\n{_help(child)}\n"
            if rows := [_row(param) for param in child.params if not getattr(param, "hidden", False)]:
                yield "| argument | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def _help(command: Any) -> str:
    return str(command.help or "").strip()


def _row(param: Any) -> str:
    option = param.param_type_name == "option"
    names = " ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts)) if option else f"`{_metavar(param)}`"
    if option and not param.is_flag:
        names += f" `{_metavar(param)}`"
    notes = [] if param.required or not param.default or param.is_flag else [f"Default: {_plain(param.default)}."]
    notes += ["Required."] if param.required and option else []
    notes += [f"Variable: `{param.envvar}`."] if param.envvar else []
    return f"| {names} | {' '.join([param.help or '', *notes]).strip()} |".replace("|  |", "| |")


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.strip("_").upper()).strip("[]")


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))
