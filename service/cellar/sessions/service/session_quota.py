"""The quotas of sessions: what counts them, and the answer to a creation beyond them."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Protocol

from cellar.errors import CellarError, Overloaded, SessionExpired, SessionUnknown
from cellar.ports import SessionRecord, SessionStore, SessionSummary


class SessionQuota(Protocol):
    """Counts the sessions of each tenant, and refuses those beyond its quotas."""

    async def admit(self, tenant: str, sessions: int, state_bytes: int) -> None:
        """Count new sessions. Raise QuotaExceeded, Overloaded or StoreUnavailable, and count none."""

    def forget(self) -> None:
        """Note that sessions were deleted: they are counted again before one is refused."""


class NoQuota:
    """The quota while sessions need not be counted."""

    async def admit(self, tenant: str, sessions: int, state_bytes: int) -> None:
        """Admit all."""

    def forget(self) -> None:
        """Do nothing."""


NO_QUOTA = NoQuota()


async def admit_one(quota: SessionQuota, store: SessionStore, record: SessionRecord) -> SessionSummary | None:
    """Count a new session and return None. Beyond a quota return the session that has its name, or raise the error."""
    try:
        await quota.admit(record.key.tenant, 1, len(record.state))
    except Overloaded:
        with suppress(SessionUnknown, SessionExpired):
            return await store.summary(record.key)
        raise
    return None


async def admit_many(quota: SessionQuota, records: Sequence[SessionRecord]) -> bool:
    """Count new sessions of one tenant. Return False, and count none, if there is no room for all of them."""
    if quota is NO_QUOTA or not records:
        return True
    try:
        state_bytes = sum(len(record.state) for record in records)
        await quota.admit(records[0].key.tenant, len(records), state_bytes)
    except Overloaded:
        return False
    return True


async def outcome_of(admitting: Awaitable[SessionSummary | None]) -> SessionSummary | CellarError | None:
    """Return the result of a creation, or its error."""
    try:
        return await admitting
    except CellarError as error:
        return error
