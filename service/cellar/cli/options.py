"""Options that several commands have."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="CELLAR_URL", metavar="URL", help="The service; default: that of CELLAR_HOST and CELLAR_PORT."
    ),
]

ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="CELLAR_API_KEY", metavar="KEY", help="The key, if the service needs one."),
]
