"""The command `settings`: every setting with its unit, value and source."""

import os
import re
import sys
from typing import Any

import typer

from cellar.cli.console import say, show_json, show_table, unknown_variables
from cellar.cli.options import Json

app = typer.Typer()

UNITS = {"_s": "seconds", "_bytes": "bytes"}
"""Units by the end of a setting's name."""


@app.command()
def settings(*, as_json: Json = False) -> None:
    """Show every setting with its unit, default, value and source. Secrets and passwords are not shown.

    Unknown variables CELLAR_* are named on standard error, with the nearest setting.
    """
    from cellar.settings import Settings

    found = Settings.load()
    rows = []
    for name, field in Settings.model_fields.items():
        variable = f"CELLAR_{name.upper()}"
        text = field.description or ""
        rows.append(
            {
                "setting": variable,
                "value": shown(getattr(found, name)),
                "unit": next((unit for end, unit in UNITS.items() if name.endswith(end)), None),
                "default": default_in(text),
                "source": "environment" if os.environ.get(variable) else "default",
                "meaning": text,
            }
        )
    unknown = list(unknown_variables())
    if as_json:
        return show_json({"settings": rows, "unknown": unknown})
    columns = ("setting", "value", "unit", "default", "source")
    show_table([column.upper() for column in columns], ([row[column] for column in columns] for row in rows))
    for sentence in unknown:
        print(f"cellar: {sentence}", file=sys.stderr)
    return say("docs/reference/settings.md says what each means; `cellar settings --json` too")


def default_in(description: str) -> str | None:
    """Return the default that the description of a setting names.

    >>> default_in("TCP port to listen on. Default: 8080."), default_in("Unset: a private Redis is started.")
    ('8080', None)
    """
    found = re.search(r"Default: (.*?)\.?$", description)
    return found[1] if found else None


def shown(value: Any) -> Any:
    """Return a value as JSON has it, without the password in a URL.

    >>> shown("redis://user:secret@host/0"), shown(8080), shown(("a", "b"))
    ('redis://user:***@host/0', 8080, 'a,b')
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))
