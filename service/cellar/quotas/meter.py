"""The present use of a tenant, counted in this process without a question to Redis."""

import math
from time import monotonic

from cellar.quotas.limits import ALL, TenantLimits, refusal
from cellar.settings.limit_table import QUOTAS, RATES

GAUGES = ("steps_in_flight", "streams", "connections")
"""Quotas of things that begin and end."""


class Bucket:
    """A token bucket: `rate` tokens a second, and as many as it gets in `span_s` at once.

    Tokens are added only when there are too few. In between, a request costs a comparison and a subtraction. The
    bucket is never fuller than one that is filled continuously.
    """

    __slots__ = ("_at_s", "_most", "level", "rate", "used")

    def __init__(self, rate: float, span_s: float) -> None:
        self.rate = rate
        self._most = max(1.0, rate * span_s) if rate else 0.0
        self.level = self._most
        self._at_s = monotonic()
        self.used = 0
        """Tokens that were taken in this process."""

    def take(self, tokens: int) -> float:
        """Take tokens and return 0, or take none and return the seconds after which there are enough.

        With 0 tokens, look only whether there is one.
        """
        if self.level < max(tokens, 1):
            now_s = monotonic()
            self.level = min(self._most, self.level + (now_s - self._at_s) * self.rate)
            self._at_s = now_s
            wanted = min(max(tokens, 1), self._most)  # a full bucket may be overdrawn by one request
            if not self.rate:
                return math.inf
            if self.level < wanted:
                return (wanted - self.level) / self.rate
        self.level -= tokens
        self.used += tokens
        return 0.0

    def take_elsewhere(self, tokens: float) -> None:
        """Note that other processes have taken tokens."""
        self.level = max(self.level - tokens, -self._most)


class Meter:
    """The rates and gauges of a tenant, or of all tenants together, in this process."""

    __slots__ = ("_limits", "_tenant", "buckets", "elsewhere", "here", "most", "revision")

    def __init__(self, tenant: str, limits: TenantLimits) -> None:
        self._tenant = tenant
        self._limits = limits
        self.buckets: dict[str, Bucket] = {}
        self.here = dict.fromkeys(GAUGES, 0)
        self.elsewhere = dict.fromkeys(GAUGES, 0)
        """The gauges of the other processes of the fleet."""
        self.most: dict[str, float] = {}
        self.revision = -1
        self.refresh()

    def refresh(self) -> None:
        """Take over the limits as they are now."""
        if self.revision == self._limits.revision:
            return
        self.revision = self._limits.revision
        before, self.buckets = self.buckets, {}
        for name, span_s in RATES.items():
            limit = self._limits.limit(self._tenant, name)
            if limit is not None:
                rate = limit / span_s
                kept = before.get(name)
                self.buckets[name] = kept if kept is not None and kept.rate == rate else Bucket(rate, span_s)
        found = {name: self._limits.limit(self._tenant, name) for name in GAUGES} if self._tenant != ALL else {}
        self.most = {name: limit for name, limit in found.items() if limit is not None}

    def take(self, name: str, tokens: int) -> None:
        """Take from a rate. Raise QuotaExceeded, or Overloaded for all tenants together."""
        bucket = self.buckets.get(name)
        if bucket is not None and (wait_s := bucket.take(tokens)):
            limit = self._limits.limit(self._tenant, name) or 0
            retry_after_s = 3600 if wait_s == math.inf else max(1, math.ceil(wait_s))
            raise refusal(self._tenant, QUOTAS[name], limit, "as many were used already", retry_after_s)

    def check(self, name: str, more: int = 1) -> None:
        """Raise QuotaExceeded if there would be too many of a gauge with some more."""
        most = self.most.get(name)
        if most is not None and self.here[name] + self.elsewhere[name] + more > most:
            there = self.here[name] + self.elsewhere[name]
            raise refusal(self._tenant, QUOTAS[name], most, f"there are {there}")

    def add(self, name: str, count: int) -> None:
        """Count things of a gauge that begin, or end if the count is negative."""
        self.here[name] += count

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way here."""
        return not any(self.here.values())

    def used(self, name: str) -> float | None:
        """Return the use of a quota as far as this process knows it."""
        if name in self.here:
            return self.here[name] + self.elsewhere[name]
        return None
