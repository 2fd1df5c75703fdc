"""The commands `cellar keys create`, `list`, `rotate`, `revoke` and `limits`."""

from typing import Annotated

import typer

from cellar.cli.console import load_settings
from cellar.cli.options import Json

app = typer.Typer(name="keys", help="Make, list, rotate and revoke API keys.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `cellar keys list` shows it.")]


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose models and sessions it is for.")] = "default",
    name: Annotated[str, typer.Option(help="Its purpose, for people.")] = "",
    scopes: Annotated[str, typer.Option(help="Some of read, step, train, admin, metrics.")] = "read,step",
    expires_in: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, as 90d or 12h; default: it does not.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make a key, which is shown once."""
    from cellar.cli.tenancy import keys

    keys.create(load_settings(quiet=True), tenant, name, scopes, expires_in, as_json=as_json)


@app.command(name="list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only the keys of this tenant.")] = None, *, as_json: Json = False
) -> None:
    """List the keys."""
    from cellar.cli.tenancy import keys

    keys.show_all(load_settings(quiet=True), tenant, as_json=as_json)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(metavar="TIME", help="How long the old one lasts.")] = "1h",
    *,
    as_json: Json = False,
) -> None:
    """Make a key in the place of another, which ends a little later."""
    from cellar.cli.tenancy import keys

    keys.rotate(load_settings(quiet=True), key_id, overlap, as_json=as_json)


@app.command()
def revoke(key_id: KeyId, *, as_json: Json = False) -> None:
    """End a key in all processes, within a second."""
    from cellar.cli.tenancy import keys

    keys.revoke(load_settings(quiet=True), key_id, as_json=as_json)


@app.command()
def limits(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=LIMIT", help="New limits; LIMIT is a number, none or default."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show or change what a tenant may use; all processes know it within two seconds.

    The names are those of GET /v1/limits: cellar keys limits acme sessions=10000 steps_per_second=500.
    """
    from cellar.cli.tenancy import keys

    keys.limits(load_settings(quiet=True), tenant, changes or (), as_json=as_json)
