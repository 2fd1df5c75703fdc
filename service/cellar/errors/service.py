"""Errors about faults and limits of the service, and about its start."""

from dataclasses import dataclass
from typing import ClassVar

from cellar.errors.base import CellarError, Outcome


@dataclass(eq=False, repr=False, kw_only=True)
class Unavailable(CellarError, slug="unavailable", title="Unavailable"):
    """The request cannot be served now. `outcome` says whether it was applied."""

    members: ClassVar[tuple[str, ...]] = ("outcome",)
    outcome: Outcome = "not_applied"
    retry_after_s: int = 1


@dataclass(eq=False, repr=False, kw_only=True)
class StoreUnavailable(Unavailable, slug="store_unavailable", title="Store unavailable"):
    """Redis does not answer, or refuses a command."""

    is_lost: bool = False
    """Whether there is no connection. The connection has logged why."""
    is_unfit: bool = False
    """Whether the server is too old, so that no repetition succeeds."""


@dataclass(eq=False, repr=False, kw_only=True)
class Overloaded(Unavailable, slug="overloaded", title="Overloaded"):
    """Too many requests are waiting, too many clients are connected, or a limit of all tenants is reached.

    Nothing was applied.
    """

    members: ClassVar[tuple[str, ...]] = ("outcome", "quota", "limit", "setting")
    quota: str | None = None
    """The name of the limit, as `GET /v1/limits` has it."""
    limit: float | None = None
    setting: str | None = None
    """The environment variable that sets it."""


class QuotaExceeded(Overloaded, slug="quota_exceeded", title="Quota exceeded"):
    """The tenant has used up a quota, which `quota` names; nothing was applied."""


class DeadlineExceeded(Unavailable, slug="deadline_exceeded", title="Deadline exceeded"):
    """The request had not begun when its time was over; nothing was applied."""


class CompileAbandoned(CellarError, slug="compile_abandoned", title="Compilation abandoned"):
    """A compilation was ended because all clients that waited for it have disconnected."""


class StoreCorrupt(CellarError, slug="store_corrupt", title="Unreadable record"):
    """A stored record that cannot be read: damaged, or written by a newer version."""


class InternalError(CellarError, slug="internal_error", title="Internal error"):
    """A fault of the service itself. The log has the details."""

    def __init__(self) -> None:
        super().__init__("The service failed; the fault is in its log.")


class StartupError(CellarError, slug="startup_error", title="Cannot start"):
    """The process cannot start; the detail says what to change."""


class SettingsInvalid(StartupError, slug="settings_invalid", title="Invalid setting"):
    """A setting has a value that is not allowed."""


class RedisMissing(StartupError, slug="redis_missing", title="No Redis"):
    """No Redis is configured and no server binary can be found."""


@dataclass(eq=False, repr=False, kw_only=True)
class CompileFailed(StartupError, slug="compile_failed", title="Compilation failed"):
    """A kernel could not be compiled or loaded.

    `exceeded`: the compiler exceeded its limit of time or memory. `text` is the source of the kernel, "" if unknown.
    """

    exceeded: bool = False
    text: str = ""
