"""The commands `cellar models list`, `show` and `delete`."""

from typing import Annotated

import typer

from cellar.cli.console import confirm, say, show_json, show_members, show_table
from cellar.cli.options import ApiKey, Json, Url, Yes
from cellar.cli.remote.connection import Service, pages, path_of

app = typer.Typer(name="models", help="List, show and delete models.")

Model = Annotated[str, typer.Argument(help="co2: the newest version; co2@3: one version; co2@live: an alias.")]


@app.command(name="list")
def list_models(
    prefix: Annotated[str | None, typer.Option(help="Only models whose names begin with this.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only versions with this tag.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most models.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List the models with their versions."""
    with Service(url, api_key) as service:
        found = list(pages(service, "/v1/models", "models", {"prefix": prefix, "tag": tag}, limit))
    if as_json:
        return show_json({"models": found})
    rows = [(line["name"], line["model"], len(line["versions"])) for line in found]
    return show_table(("NAME", "NEWEST", "VERSIONS"), rows)


@app.command()
def show(model: Model, url: Url = None, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Show a version of a model."""
    with Service(url, api_key) as service:
        found = service.get(path_of("models", model))
    if as_json:
        return show_json(found)
    short = {name: value for name, value in found.items() if name not in ("network", "graph", "parameters", "state")}
    return show_members(short)


@app.command()
def delete(
    model: Model,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also if sessions depend on it, which are then answered 410.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a model with all its versions, or one version."""
    with Service(url, api_key) as service:
        found = service.get(path_of("models", model))
        what = f"version {found['model']}" if "@" in model else f"the model {model} with all its versions"
        confirm(f"Delete {what}?", yes=yes)
        service.send("DELETE", path_of("models", model), params={"force": "true" if force else None})
    show_json({"deleted": model}) if as_json else say(f"{model} is deleted")
