"""`cellar keys`: makes, lists, rotates and revokes API keys, in the Redis of the service."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from re import fullmatch
from time import sleep

from cellar.cli.console import say, show_json, show_table
from cellar.cli.installation.redis import running_redis
from cellar.errors import InvalidInput, StartupError
from cellar.keys.administration import KeyAdministration, NewKey
from cellar.keys.key_ring import EVERY_S
from cellar.keys.pepper import pepper_of
from cellar.ports import SCOPES, TENANT, TENANT_IN_WORDS, ApiKey
from cellar.ports.clock import SystemClock
from cellar.quotas.limits import checked
from cellar.settings import Settings
from cellar.settings.limit_table import QUOTAS, variable
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.catalogue.quotas import RedisQuotas
from cellar.store.topology.factory import sync_client

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

DEFAULT = "default"
"""In the place of a limit: that of the settings holds again."""


@contextmanager
def administration(settings: Settings) -> Iterator[KeyAdministration]:
    """Return the administration of the keys. A private Redis that does not run is started meanwhile.

    Raise StartupError if the pepper is not that of the stored keys.
    """
    pepper = pepper_of(settings)
    with running_redis(settings) as url:
        yield _checked(KeyAdministration(RedisKeys(sync_client(url), settings.key_prefix), pepper, SystemClock()))


def _checked(keys: KeyAdministration) -> KeyAdministration:
    if not keys.store.check_pepper(keys.pepper.mark):
        raise StartupError(
            "the stored API keys were made under another pepper: set CELLAR_KEY_PEPPER to that of the service"
        )
    return keys


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as 90d, 12h or 30s. Raise InvalidInput.

    >>> seconds_of("90d"), seconds_of("1.5h")
    (7776000.0, 5400.0)
    """
    found = fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if found is None or not float(found[1]):
        raise InvalidInput(f"{text!r} is no duration: expected a number and s, m, h or d, as 90d")
    return float(found[1]) * UNITS_S[found[2]]


def create(settings: Settings, tenant: str, name: str, scopes: str, expires_in: str | None, *, as_json: bool) -> None:
    """Make a key and print it. Raise InvalidInput or KeysFull."""
    if not fullmatch(TENANT, tenant):
        raise InvalidInput(f"{tenant!r} is no tenant: expected {TENANT_IN_WORDS}")
    asked = [scope.strip() for scope in scopes.split(",")]
    known = [scope for scope in SCOPES if scope in asked]
    if len(known) < len(asked):
        raise InvalidInput(f"{scopes!r} are no scopes: expected some of {', '.join(SCOPES)}, with commas between")
    with administration(settings) as keys:
        lasts_s = None if expires_in is None else seconds_of(expires_in)
        _show(_known(keys.create(tenant, name, known, lasts_s=lasts_s)), as_json=as_json)


def rotate(settings: Settings, key_id: str, overlap: str, *, as_json: bool) -> None:
    """Make a key in the place of another and print it. Raise KeyUnknown or InvalidInput."""
    with administration(settings) as keys:
        _show(_known(keys.rotate(keys.find(key_id).tenant, key_id, overlap_s=seconds_of(overlap))), as_json=as_json)


def _known(new: NewKey) -> NewKey:
    """Return a key when running services have read it: a script may use it at once."""
    sleep(EVERY_S)
    return new


def revoke(settings: Settings, key_id: str, *, as_json: bool) -> None:
    """End a key. Raise KeyUnknown."""
    with administration(settings) as keys:
        key = keys.revoke(keys.find(key_id).tenant, key_id)
    if as_json:
        return show_json(_members(key))
    return say(f"The key {key.id} ({key.name}) of {key.tenant} is revoked: no process takes it after a second.")


def show_all(settings: Settings, tenant: str | None, *, as_json: bool) -> None:
    """Print the keys of a tenant or of all, as a table or as JSON."""
    with administration(settings) as keys:
        found = keys.list(tenant)
        now_s = keys.clock.now_s()
    if as_json:
        return show_json([_members(key) for key in found])
    rows = [(key.id, key.tenant, ",".join(key.scopes), _state(key, now_s), key.name) for key in found]
    return show_table(("ID", "TENANT", "SCOPES", "STATE", "NAME"), rows)


def _show(new: NewKey, *, as_json: bool) -> None:
    if as_json:
        return show_json(_members(new.key) | {"key": new.text})
    ends = "does not end" if new.key.expires_s is None else f"ends on {_time(new.key.expires_s)}"
    say(f"A key of {new.key.tenant} with {', '.join(new.key.scopes)}, which {ends}. It is shown only now:")
    return say(new.text)


def _state(key: ApiKey, now_s: float) -> str:
    if key.revoked_s is not None:
        return f"revoked {_time(key.revoked_s)}"
    if key.expires_s is None:
        return "live"
    return f"{'until' if now_s < key.expires_s else 'ended'} {_time(key.expires_s)}"


def _members(key: ApiKey) -> dict[str, object]:
    times = {
        name: None if time_s is None else _time(time_s)
        for name, time_s in (("created", key.created_s), ("expires", key.expires_s), ("revoked", key.revoked_s))
    }
    return {"id": key.id, "tenant": key.tenant, "name": key.name, "scopes": list(key.scopes), **times}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def limits(settings: Settings, tenant: str, changes: Sequence[str], *, as_json: bool) -> None:
    """Change the limits of a tenant, and print all of them. Raise InvalidInput."""
    if not fullmatch(TENANT, tenant):
        raise InvalidInput(f"{tenant!r} is no tenant: expected {TENANT_IN_WORDS}")
    asked = dict(_change(text) for text in changes)
    with running_redis(settings) as url:
        store = RedisQuotas(sync_client(url), settings.key_prefix)
        found = store.limits(-1)
        own = dict(found.tenants.get(tenant, {})) if found is not None else {}
        if asked:
            own |= checked({name: value for name, value in asked.items() if value != DEFAULT})
            own = {name: value for name, value in own.items() if asked.get(name) != DEFAULT}
            checked(dict.fromkeys(asked))
            store.set_limits(tenant, own)
    rows = [
        (name, own[name] if name in own else getattr(settings, quota.of_tenant), quota.unit, name in own)
        for name, quota in QUOTAS.items()
    ]
    if as_json:
        return show_json({"tenant": tenant, "limits": {name: limit for name, limit, *_ in rows}, "own": own})
    return show_table(
        ("QUOTA", "LIMIT", "UNIT", "SOURCE"),
        [
            (name, "none" if limit is None else limit, unit, "own" if is_own else variable(QUOTAS[name].of_tenant))
            for name, limit, unit, is_own in rows
        ],
    )


def _change(text: str) -> tuple[str, float | str | None]:
    """Return the name of a quota and its new limit, of a text such as `sessions=100`. Raise InvalidInput."""
    name, is_given, value = text.partition("=")
    if is_given and value in ("none", DEFAULT):
        return name, None if value == "none" else DEFAULT
    try:
        number = float(value)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no limit: expected a name and a number, none or default, as sessions=100"
        ) from None
    return name, int(number) if number.is_integer() else number
