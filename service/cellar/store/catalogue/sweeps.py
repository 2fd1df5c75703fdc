"""Sweeps in Redis, in the slot of jobs; every change is one Lua script (`lua/sweep/`)."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import redis

from cellar.errors import StoreCorrupt, SweepUnknown
from cellar.ports import Sweep, Trial
from cellar.store.catalogue.job_events import events_key
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text

KEEP_S = 30 * 24 * 3600
"""How long an ended sweep can be read, seconds; as long as a job."""

CHANGING = ("trials", "cancelling", "finishing", "publishing", "ended_s")
"""The members in the document of a record."""


class RedisSweeps:
    """Implements `cellar.ports.SweepStore`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._tag = f"{prefix}:{{jobs}}"
        self._scripts = Scripts(client, "sweep")

    def write(self, sweep: Sweep, events: Sequence[tuple[str, dict[str, Any]]] = ()) -> bool:
        """Store the next revision; return False if another one is stored. Raise StoreUnavailable."""
        record = self._record(sweep.tenant, sweep.sweep)
        keys = record, self._active, self._index(sweep.tenant), events_key(record)
        document = {name: value for name, value in asdict(sweep).items() if name in CHANGING}
        told = [part for kind, data in events for part in (kind, _dump(data))]
        args: list[str | int] = [f"{sweep.tenant}/{sweep.sweep}", sweep.sweep, sweep.revision, repr(sweep.created_s)]
        args += [_dump(sweep.spec), sweep.state, sweep.result or "", sweep.error or "", _dump(document), KEEP_S]
        with redis_errors(outcome="unknown"):
            return bool(self._scripts.run("write", keys, [*args, *told]))

    def get(self, tenant: str, sweep: str) -> Sweep:
        """Return a sweep. Raise SweepUnknown or StoreUnavailable."""
        with redis_errors():
            record = self._client.hgetall(self._record(tenant, sweep))
        if not record:
            raise SweepUnknown(f"no sweep {sweep!r}")
        return _load(tenant, sweep, record)

    def list(self, tenant: str, limit: int, after: str = "") -> tuple[list[Sweep], str]:
        """Return a page of sweeps; see `SweepStore.list`. Raise StoreUnavailable."""
        created, _, last = after.partition("~")
        with redis_errors():
            listed: Any = self._client.zrange(self._index(tenant), 0, -1, withscores=True)
        places = sorted(((score, text(name)) for name, score in listed), reverse=True)
        found: list[Sweep] = []
        for place in [each for each in places if not after or each < (float(created), last)]:
            if len(found) == limit:
                return found, f"{found[-1].created_s!r}~{found[-1].sweep}"
            try:
                found.append(self.get(tenant, place[1]))
            except SweepUnknown:  # it has expired
                with redis_errors():
                    self._client.zrem(self._index(tenant), place[1])
        return found, ""

    def active(self) -> Sequence[tuple[str, str]]:
        """Return tenant and name of all sweeps that have not ended. Raise StoreUnavailable."""
        with redis_errors():
            members = self._client.smembers(self._active)
        parts = [text(member).partition("/") for member in members]
        return sorted((part[0], part[2]) for part in parts)

    def data_bytes(self, tenant: str) -> int:
        """Return the bytes of the data of a tenant's sweeps that have not ended. Raise StoreUnavailable."""
        found = 0
        for owner, sweep in self.active():
            if owner == tenant:
                with suppress(SweepUnknown):
                    found += int(self.get(tenant, sweep).spec.get("dataset_bytes", 0))
        return found

    def delete(self, tenant: str, sweep: str) -> None:
        """Delete an ended sweep. Raise StoreUnavailable."""
        record = self._record(tenant, sweep)
        with redis_errors(outcome="unknown"):
            self._client.zrem(self._index(tenant), sweep)
            self._client.delete(record, events_key(record))

    def _record(self, tenant: str, sweep: str) -> str:
        return f"{self._tag}:sweep:{tenant}/{sweep}"

    def _index(self, tenant: str) -> str:
        return f"{self._tag}:sweeps:{tenant}"

    @property
    def _active(self) -> str:
        return f"{self._tag}:sweeps"


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _load(tenant: str, sweep: str, record: Mapping[Any, Any]) -> Sweep:
    fields = {text(name): text(value) for name, value in record.items()}
    with suppress(KeyError, ValueError, TypeError):
        document = json.loads(fields["document"])
        trials = tuple(Trial(**trial) for trial in document.pop("trials"))
        known: dict[str, Any] = {name: fields.get(name) for name in ("state", "result", "error")} | document
        known |= {"created_s": float(fields["created_s"]), "revision": int(fields["revision"])}
        return Sweep(tenant, sweep, json.loads(fields["spec"]), trials=trials, **known)
    raise StoreCorrupt(f"unreadable sweep {sweep}")
