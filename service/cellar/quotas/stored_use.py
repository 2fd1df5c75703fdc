"""The stored data of tenants, counted in Redis from Redis at most once a second until a quota is nearly used up."""

from collections.abc import Awaitable, Callable, Iterable
from time import monotonic

from cellar.ports.catalogue.quotas import CatalogueUse, SessionUse
from cellar.quotas.limits import ALL, TenantLimits, refusal
from cellar.settings.limit_table import QUOTAS

FRESH_S = 1.0
"""How long what was read is used, with what this process has added since."""

REFUSE_S = 0.05
"""How old it may be when a request is refused."""

OF_SESSIONS, OF_JOBS = ("sessions", "state_bytes"), ("jobs", "dataset_bytes")

CountSessions = Callable[[str], Awaitable[SessionUse]]
CountCatalogue = Callable[[str], CatalogueUse]


class SessionQuota:
    """The quotas of sessions, which are created on the event loop."""

    def __init__(self, limits: TenantLimits, count: CountSessions, tenants: Iterable[str]) -> None:
        self._limits = limits
        self._count = count
        self._tenants = tenants
        self._read: dict[str, tuple[float, SessionUse]] = {}
        """When the use was read, and what it was, with what was added since."""

    async def admit(self, tenant: str, sessions: int, state_bytes: int) -> None:
        """Count new sessions of a tenant. Raise QuotaExceeded, Overloaded or StoreUnavailable, and count none."""
        owners = [owner for owner in (tenant, ALL) if self._is_limited(owner)]
        for owner in owners:
            if self._beyond(owner, await self.used(owner, FRESH_S), sessions, state_bytes) is not None:
                error = self._beyond(owner, await self.used(owner, REFUSE_S), sessions, state_bytes)
                if error is not None:
                    raise error
        for owner in owners:
            if owner not in self._read:
                continue
            at_s, use = self._read[owner]
            self._read[owner] = at_s, SessionUse(use.sessions + sessions, use.state_bytes + state_bytes)

    async def used(self, tenant: str, age_s: float = FRESH_S) -> SessionUse:
        """Return the use of a tenant, or of all together, as it was at most `age_s` ago. Raise StoreUnavailable."""
        now_s, known = monotonic(), self._read.get(tenant)
        if known is None or now_s - known[0] > age_s:
            counts = [await self._count(each) for each in (self._tenants if tenant == ALL else (tenant,))]
            use = SessionUse(sum(each.sessions for each in counts), sum(each.state_bytes for each in counts))
            self._read[tenant] = known = now_s, use
        return known[1]

    def forget(self) -> None:
        """Note that sessions were deleted."""
        self._read.clear()

    def _is_limited(self, tenant: str) -> bool:
        return any(self._limits.limit(tenant, name) is not None for name in OF_SESSIONS)

    def _beyond(self, tenant: str, use: SessionUse, sessions: int, state_bytes: int) -> Exception | None:
        for name, there, more in (
            ("sessions", use.sessions, sessions),
            ("state_bytes", use.state_bytes, state_bytes),
        ):
            limit = self._limits.limit(tenant, name)
            if limit is not None and there + more > limit:
                return refusal(tenant, QUOTAS[name], limit, f"there would be {there + more}")
        return None


class CatalogueQuota:
    """The quotas of models and jobs, which are made on threads. They are rare, so the use is read each time."""

    def __init__(self, limits: TenantLimits, count: CountCatalogue, tenants: Iterable[str]) -> None:
        self._limits = limits
        self._count = count
        self._tenants = tenants

    def admit_model(self, tenant: str, parameters: int, is_new: Callable[[], bool]) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a model that may not be made.

        `is_new` tells whether it is no version of a model that there is.
        """
        for owner in (tenant, ALL):
            limit = self._limits.limit(owner, "parameters")
            if limit is not None and parameters > limit:
                raise refusal(owner, QUOTAS["parameters"], limit, f"this one has {parameters}")
            limit = self._limits.limit(owner, "models")
            if limit is not None and is_new():
                self._check(owner, "models", self.used(owner).models, 1)

    def admit_job(self, tenant: str, dataset_bytes: int) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a training job that may not be made."""
        for owner in (tenant, ALL):
            if any(self._limits.limit(owner, name) is not None for name in OF_JOBS):
                use = self.used(owner)
                self._check(owner, "jobs", use.jobs, 1)
                self._check(owner, "dataset_bytes", use.dataset_bytes, dataset_bytes)

    def admit_dataset(self, tenant: str, dataset_bytes: int) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a dataset that may not be kept."""
        for owner in (tenant, ALL):
            if self._limits.limit(owner, "dataset_bytes") is not None:
                self._check(owner, "dataset_bytes", self.used(owner).dataset_bytes, dataset_bytes)

    def used(self, tenant: str) -> CatalogueUse:
        """Return the use of a tenant, or of all together. Raise StoreUnavailable."""
        counts = [self._count(each) for each in (self._tenants if tenant == ALL else (tenant,))]
        return CatalogueUse(
            sum(each.models for each in counts),
            sum(each.jobs for each in counts),
            sum(each.dataset_bytes for each in counts),
        )

    def _check(self, tenant: str, name: str, there: int, more: int) -> None:
        limit = self._limits.limit(tenant, name)
        if limit is not None and there + more > limit:
            raise refusal(tenant, QUOTAS[name], limit, f"there would be {there + more}")
