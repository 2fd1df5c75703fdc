"""Errors about faults and limits of the service, and about its start."""

from dataclasses import dataclass

from cellar.errors.base import CellarError, Outcome


@dataclass(eq=False, repr=False, kw_only=True)
class Unavailable(CellarError, slug="unavailable", title="Unavailable"):
    """The request cannot be served now. `outcome` says whether it was applied."""

    members = ("outcome",)
    outcome: Outcome = "not_applied"
    retry_after_s: int = 1


class StoreUnavailable(Unavailable, slug="store_unavailable", title="Store unavailable"):
    """Redis does not answer, or refuses a command."""


class Overloaded(Unavailable, slug="overloaded", title="Overloaded"):
    """Too many requests are waiting, or too many clients are connected; nothing was applied."""


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
