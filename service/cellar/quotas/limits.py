"""The limits that hold for each tenant: those of the settings, or its own."""

from collections.abc import Callable, Mapping

from cellar.errors import InvalidInput, Overloaded, QuotaExceeded
from cellar.ports.catalogue.quotas import Limits
from cellar.settings.limit_table import QUOTAS, Quota, variable

MOST = 1e18

ALL = ""
"""The name under which all tenants together are counted; no tenant has it."""


class TenantLimits:
    """The limits by tenant. `read` returns the value of a setting."""

    def __init__(self, read: Callable[[str], float | None]) -> None:
        self._defaults = {name: read(quota.of_tenant) for name, quota in QUOTAS.items()}
        self._of_all = {name: read(quota.of_all) for name, quota in QUOTAS.items()}
        self._own: Mapping[str, Limits] = {}
        self.revision = 0
        """Changes whenever a limit may have changed."""

    def replace(self, own: Mapping[str, Limits]) -> None:
        """Set the limits of the tenants that have their own."""
        self._own = own
        self.revision += 1

    def limit(self, tenant: str, name: str) -> float | None:
        """Return a limit of a tenant, or of all tenants together; None if there is none."""
        if tenant == ALL:
            return self._of_all[name]
        own = self._own.get(tenant)
        return own[name] if own is not None and name in own else self._defaults[name]

    def is_own(self, tenant: str, name: str) -> bool:
        """Return whether the limit is the tenant's own, and not that of the settings."""
        return name in self._own.get(tenant, ())

    def has_any(self, names: tuple[str, ...]) -> bool:
        """Return whether there is a limit of one of these names for any tenant, or for all together."""
        return any(self._of_all[name] is not None or self.has_any_of_tenants(name) for name in names)

    def has_any_of_tenants(self, name: str) -> bool:
        """Return whether there is a limit of this name for any tenant."""
        return any(limits.get(name) is not None for limits in (self._defaults, *self._own.values()))


def refusal(tenant: str, quota: Quota, limit: float, wanted: str, retry_after_s: int | None = None) -> Overloaded:
    """Return the error of a request beyond a limit; `wanted` says what there would be with it."""
    shown = f"{limit:g}" if limit < 1e6 else f"{limit:.0f}"
    kind, owner, setting = Overloaded, "all tenants together", variable(quota.of_all)
    where = setting
    if tenant != ALL:
        kind, owner, setting = QuotaExceeded, "the tenant", variable(quota.of_tenant)
        where = f"{setting}, or `cellar keys limits`"
    return kind(
        f"{owner} may have at most {shown} {quota.unit} ({where}), and {wanted}",
        quota=quota.name,
        limit=limit,
        setting=setting,
        retry_after_s=retry_after_s or quota.retry_after_s,
    )


def checked(limits: Mapping[str, object]) -> Limits:
    """Return limits that were given for a tenant. Raise InvalidInput for an invalid one.

    >>> checked({"sessions": 10, "models": None})
    {'sessions': 10, 'models': None}
    """
    found: dict[str, float | None] = {}
    for name, value in limits.items():
        if name not in QUOTAS:
            raise InvalidInput(f"there is no quota {name!r}", expected=f"one of {', '.join(QUOTAS)}", actual=name)
        if value is not None and (
            not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e18
        ):
            raise InvalidInput(
                f"the limit of {name} must be a number, or none", expected="a number from 0 on", actual=str(value)
            )
        found[name] = value
    return found
