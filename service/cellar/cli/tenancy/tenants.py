"""The commands `cellar tenants list` and `erase`: whose data there are, and the deletion of all data of one tenant."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar.cli.console import Mistake, confirm, load_settings, say, show_json, show_table
from cellar.cli.options import Json, Url, Yes
from cellar.cli.remote.connection import Service, pages, path_of

if TYPE_CHECKING:
    from cellar.keys.administration import KeyAdministration

app = typer.Typer(name="tenants", help="List tenants, and erase all data of one.")

KEY_LASTS_S = 3600.0
"""Lifetime of the key with which a tenant is erased, if the command dies before it has revoked the key."""

SETTLED_S = 2.0
"""Time after which no process takes a revoked key, and no session was changed within the last second."""

POLL_S = 0.2


@app.command(name="list")
def list_tenants(*, as_json: Json = False) -> None:
    """List the tenants that have or had an API key or a token, and the number of their keys that are valid."""
    from cellar.cli.tenancy.keys import administration

    with administration(load_settings(quiet=True)) as keys:
        now_s = keys.clock.now_s()
        found = dict.fromkeys(sorted(keys.store.tenants()), 0)
        for key in keys.list(None):
            found[key.tenant] += key.is_live(now_s)
    if as_json:
        return show_json({"tenants": [{"tenant": tenant, "keys": count} for tenant, count in found.items()]})
    return show_table(("TENANT", "KEYS"), [(tenant, count) for tenant, count in found.items()])


@app.command()
def erase(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant, as `cellar tenants list` shows it.")],
    url: Url = None,
    *,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Revoke all API keys of a tenant, and delete its sessions, jobs, datasets and models.

    The service runs meanwhile, and other tenants are not disturbed. Its revoked keys stay on record, without secrets.
    A command that was cut off can be repeated.
    """
    from cellar.cli.installation.redis import running_redis
    from cellar.cli.tenancy.keys import administration
    from cellar.store.backup.erasure import erase_rest
    from cellar.store.topology.factory import sync_client

    settings = load_settings(quiet=True)
    with running_redis(settings) as redis_url, administration(settings) as keys:
        if tenant not in keys.store.tenants():
            raise Mistake(f"there is no tenant {tenant!r}: `cellar tenants list` shows all")
        with _service(keys, tenant, url) as service:
            models = [each["name"] for each in pages(service, "/v1/models", "models", {})]
            confirm(
                f"Delete {len(models)} models of {tenant}, and all its sessions, jobs, datasets and API keys?", yes=yes
            )
            counts = {"keys": _revoke_others(keys, tenant), **_delete_data(service)}
        erase_rest(sync_client(redis_url), settings.key_prefix, tenant)
    if as_json:
        return show_json({"tenant": tenant, "deleted": counts})
    return say(f"{tenant} is erased: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@contextmanager
def _service(keys: "KeyAdministration", tenant: str, url: str | None) -> Iterator[Service]:
    """Yield a connection with a key of the tenant that is revoked at the end. Raise Mistake if it is not taken."""
    new = keys.create(tenant, "cellar tenants erase", ["admin"], lasts_s=KEY_LASTS_S)
    try:
        with Service(url, new.text) as service:
            for left in range(round(SETTLED_S / POLL_S), -1, -1):
                with suppress(*([Mistake] if left else [])):  # the service reads new keys at times
                    service.get("/v1/models", {"limit": 1})
                    break
                time.sleep(POLL_S)
            yield service
    finally:
        keys.revoke(tenant, new.key.id)


def _revoke_others(keys: "KeyAdministration", tenant: str) -> int:
    """Revoke all keys but the newest, wait until no process takes them, and return their number."""
    now_s = keys.clock.now_s()
    others = [key for key in keys.list(tenant)[:-1] if key.is_live(now_s)]
    for key in others:
        keys.revoke(tenant, key.id)
    time.sleep(SETTLED_S)
    return len(others)


def _delete_data(service: Service) -> dict[str, int]:
    """Delete sessions, jobs, datasets and models, in this order, and return their numbers."""
    deletion: dict[str, Any] = service.send("DELETE", "/v1/sessions", params={"idle_s": 1})
    while deletion["ended"] is None:
        time.sleep(POLL_S)
        deletion = service.get(path_of("deletions", deletion["deletion"]))
    for sweep in [each["sweep"] for each in pages(service, "/v1/sweeps", "sweeps", {})]:
        service.send("POST", path_of("sweeps", sweep, "cancel"))
        while service.get(path_of("sweeps", sweep))["state"] == "running":
            time.sleep(0.5)
        service.send("DELETE", path_of("sweeps", sweep))
    jobs = [each["job"] for each in pages(service, "/v1/jobs", "jobs", {})]
    for job in jobs:
        service.send("POST", path_of("jobs", job, "cancel"))
    for job in jobs:
        while service.get(path_of("jobs", job))["state"] in ("queued", "running"):
            time.sleep(POLL_S)
        service.send("DELETE", path_of("jobs", job))
    backtests = [each["backtest"] for each in pages(service, "/v1/backtests", "backtests", {})]
    for backtest in backtests:
        service.send("POST", path_of("backtests", backtest, "cancel"))
        while service.get(path_of("backtests", backtest))["state"] in ("queued", "running"):
            time.sleep(POLL_S)
        service.send("DELETE", path_of("backtests", backtest))
    datasets = [each["dataset"] for each in pages(service, "/v1/datasets", "datasets", {})]
    for dataset in datasets:
        service.send("DELETE", path_of("datasets", dataset))
    models = [each["name"] for each in pages(service, "/v1/models", "models", {})]
    for model in models:
        service.send("DELETE", path_of("models", model), params={"force": "true"})
    numbers = {"jobs": len(jobs), "datasets": len(datasets), "models": len(models)}
    return {"sessions": deletion["deleted"], **numbers}
