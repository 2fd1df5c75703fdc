"""The quotas of a process: its meters, the limits that operators change, and the use of the other processes.

A process counts its own steps, streams and connections, and never asks Redis for a step. While there are such quotas,
the processes of a fleet exchange what they use four times a second, so that a quota holds for the fleet and not for
each process: within this time, each process may use a quota alone.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cellar.errors import CellarError, StoreUnavailable
from cellar.ports.catalogue.quotas import QuotaStore
from cellar.quotas.limits import ALL, TenantLimits
from cellar.quotas.meter import GAUGES, Meter
from cellar.quotas.stored_use import CatalogueQuota, SessionQuota
from cellar.settings.limit_table import QUOTAS, RATES

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""Interval at which the limits of single tenants are read."""

EXCHANGE_S = 0.25
"""Interval at which processes exchange what they use, seconds."""

STALE = 12
"""Exchanges after which a process counts as ended that has not changed its entry."""

NOTHING = [0] * (len(RATES) + len(GAUGES))


@dataclass(frozen=True, slots=True)
class LimitState:
    """A quota of a tenant: its limit and its use, None where there is none or it is not known."""

    name: str
    limit: float | None
    used: float | None
    is_own: bool
    """Whether the limit is the tenant's own."""


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """The use of another process."""

    text: str
    """Its entry. It changes with each exchange."""
    same: int
    """The number of exchanges for which it is the same."""
    use: dict[str, list[int]]
    """By tenant, the numbers of RATES and GAUGES."""

    @classmethod
    def read(cls, entry: str, before: "OtherProcess | None") -> "OtherProcess":
        """Return the use in an entry; `before` is the entry that was read last."""
        if before is not None and before.text == entry:
            return cls(entry, before.same + 1, before.use)
        return cls(entry, 0, json.loads(entry)["use"])


class Quotas:
    """The quotas of all tenants. Everything runs on the event loop, except `catalogue`."""

    def __init__(
        self, limits: TenantLimits, store: QuotaStore, sessions: SessionQuota, catalogue: CatalogueQuota
    ) -> None:
        self.limits = limits
        self.sessions = sessions
        self.catalogue = catalogue
        self._store = store
        self._process = uuid.uuid4().hex
        self._meters: dict[str, Meter] = {}
        self._read = -1
        self._others: dict[str, OtherProcess] = {}
        self._exchanges = 0
        self._shared: dict[str, list[int]] = {}
        """The use that the other processes were told last."""
        self.limits_steps = self.limits_connections = False
        """Whether steps, and connections or streams, are counted at all."""
        self._call: Callable[[], object] = lambda: None
        self._take_over()

    def on_change(self, call: Callable[[], object]) -> None:
        """Call `call` now, and each time that limits have changed."""
        self._call = call
        call()

    # --- steps --------------------------------------------------------------------------------------------------------

    def begin_steps(self, tenant: str, steps: int) -> bool:
        """Count steps that are submitted. Return whether `end_steps` must be called when they are answered.

        Raise QuotaExceeded, or Overloaded for the limits of all tenants, and count nothing.
        """
        meter = self._meters.get(tenant) or self._meter(tenant)
        if meter.most:
            meter.check("steps_in_flight", steps)
        if meter.buckets:
            meter.take("steps_per_second", steps)
        everyone = self._meters[ALL]
        if everyone.buckets:
            everyone.take("steps_per_second", steps)
        if "steps_in_flight" not in meter.most:
            return False
        meter.add("steps_in_flight", steps)
        return True

    def check_steps(self, tenant: str) -> None:
        """Raise QuotaExceeded, or Overloaded, if no step is taken now. Nothing is counted."""
        meter = self._meters.get(tenant) or self._meter(tenant)
        if meter.most:
            meter.check("steps_in_flight")
        for counted in (meter, self._meters[ALL]):
            if counted.buckets:
                counted.take("steps_per_second", 0)

    def end_steps(self, tenant: str, steps: int) -> None:
        """Note that steps are answered."""
        self._meters[tenant].add("steps_in_flight", -steps)

    # --- streams, connections, compilations ---------------------------------------------------------------------------

    def check(self, tenant: str, name: str) -> None:
        """Raise QuotaExceeded if the tenant may have no more of a gauge."""
        self._meter(tenant).check(name)

    @contextmanager
    def counted(self, tenant: str, name: str) -> Iterator[None]:
        """Count one more of a gauge in this context."""
        meter = self._meter(tenant)
        meter.add(name, 1)
        try:
            yield
        finally:
            meter.add(name, -1)

    def add(self, tenant: str, name: str, count: int) -> None:
        """Count things of a gauge that begin, or end if the count is negative."""
        self._meter(tenant).add(name, count)

    def take_compilation(self, tenant: str) -> None:
        """Count a compilation. Raise QuotaExceeded, or Overloaded for the limit of all tenants. On any thread."""
        self._meter(tenant).take("compilations_per_hour", 1)
        self._meters[ALL].take("compilations_per_hour", 1)

    # --- what is in force ---------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read the limits of single tenants if they have changed. Raise StoreUnavailable."""
        found = await asyncio.to_thread(self._store.limits, self._read)
        if found is not None:
            self._read = found.revision
            self.limits.replace(found.tenants)
            self._take_over()

    async def describe(self, tenant: str) -> list[LimitState]:
        """Return the limits of a tenant and what it uses. Raise StoreUnavailable."""
        meter = self._meter(tenant)
        sessions = await self.sessions.used(tenant)
        stored = await asyncio.to_thread(self.catalogue.used, tenant)
        used: dict[str, float | None] = {**sessions._asdict(), **stored._asdict()}
        for name in GAUGES:
            used[name] = meter.used(name) if self.limits.limit(tenant, name) is not None else None
        return [
            LimitState(name, self.limits.limit(tenant, name), used.get(name), self.limits.is_own(tenant, name))
            for name in QUOTAS
        ]

    def _take_over(self) -> None:
        """Take over the limits as they are now."""
        for tenant in {*self._meters, ALL}:
            self._meter(tenant).refresh()
        of_tenants = self.limits.has_any_of_tenants
        self.limits_steps = self.limits.has_any(("steps_per_second",)) or of_tenants("steps_in_flight")
        self.limits_connections = of_tenants("connections") or of_tenants("streams")
        self._call()

    def _meter(self, tenant: str) -> Meter:
        meter = self._meters.get(tenant)
        if meter is None:
            meter = self._meters[tenant] = Meter(tenant, self.limits)
        return meter

    # --- the fleet ----------------------------------------------------------------------------------------------------

    async def exchange(self) -> None:
        """Tell the other processes what this one uses, and count what they use. Raise StoreUnavailable.

        Nothing is sent while nothing is counted.
        """
        if not (self.limits_steps or self.limits_connections or self.limits.has_any(("compilations_per_hour",))):
            return
        use = {tenant: self._use_of(meter) for tenant, meter in self._meters.items()}
        use = {tenant: numbers for tenant, numbers in use.items() if any(numbers)}
        is_idle = use == self._shared and not any(any(numbers[len(RATES) :]) for numbers in use.values())
        if is_idle and not self._others_are_busy():
            return
        self._shared = use
        found = await asyncio.to_thread(self._store.share, self._process, self._entry(use))
        self._count_others({name: entry for name, entry in found.items() if name != self._process})

    def _entry(self, use: dict[str, list[int]]) -> str:
        """Return the entry of this process, which is different each time."""
        self._exchanges += 1
        return json.dumps({"number": self._exchanges, "use": use})

    def _others_are_busy(self) -> bool:
        """Return whether another process had something under way, which may have ended since."""
        return any(any(meter.elsewhere.values()) for meter in self._meters.values())

    def _use_of(self, meter: Meter) -> list[int]:
        taken = [meter.buckets[name].used if name in meter.buckets else 0 for name in RATES]
        return [*taken, *(meter.here[name] for name in GAUGES)]

    def _count_others(self, entries: dict[str, str]) -> None:
        """Count what the other processes have used since the last exchange, and what they have now."""
        sums: dict[str, list[int]] = {}
        for process, entry in entries.items():
            before = self._others.get(process)
            now = self._others[process] = OtherProcess.read(entry, before)
            for tenant, used in now.use.items():
                meter = self._meter(tenant)
                for at, name in enumerate(RATES):
                    if name in meter.buckets and before is not None:
                        meter.buckets[name].take_elsewhere(used[at] - before.use.get(tenant, NOTHING)[at])
                if now.same < STALE:
                    total = sums.setdefault(tenant, [0] * len(GAUGES))
                    for at in range(len(GAUGES)):
                        total[at] += used[len(RATES) + at]
        for gone in self._others.keys() - entries.keys():
            del self._others[gone]
        for tenant, meter in self._meters.items():
            meter.elsewhere = dict(zip(GAUGES, sums.get(tenant, [0] * len(GAUGES)), strict=True))

    async def aclose(self) -> None:
        """Tell the other processes that this one ends."""
        if self._exchanges:
            with suppress(CellarError, StoreUnavailable):
                await asyncio.to_thread(self._store.leave, self._process)
