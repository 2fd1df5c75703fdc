"""Faults and limits of the service, not of the request."""

from cellar.errors.base import CellarError, Outcome


class Unavailable(CellarError, slug="unavailable", title="Unavailable"):
    """Not now. `outcome` says what is known of the request's effect."""

    members = ("outcome",)

    def __init__(self, detail: str, *, outcome: Outcome = "not_applied", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.outcome: Outcome = outcome
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable, slug="store_unavailable", title="Store unavailable"):
    """Redis refuses or is gone."""


class Overloaded(Unavailable, slug="overloaded", title="Overloaded"):
    """Too much waits, or too many are connected; nothing was applied."""


class DeadlineExceeded(Unavailable, slug="deadline_exceeded", title="Deadline exceeded"):
    """The request had not begun when its time was over; nothing was applied."""


class CompileAbandoned(CellarError, slug="compile_abandoned", title="Compilation abandoned"):
    """A compilation was ended because nobody waited for it any more."""


class StoreCorrupt(CellarError, slug="store_corrupt", title="Unreadable record"):
    """A stored record that cannot be read: damaged, or written by a newer version."""


class InternalError(CellarError, slug="internal_error", title="Internal error"):
    """A fault of the service itself. Its log says more."""

    def __init__(self) -> None:
        super().__init__("The service failed; the fault is in its log.")


class StartupError(CellarError, slug="startup_error", title="Cannot start"):
    """The process cannot start; the detail says what to change."""


class SettingsInvalid(StartupError, slug="settings_invalid", title="Invalid setting"):
    """A setting has a value that it cannot have."""


class RedisMissing(StartupError, slug="redis_missing", title="No Redis"):
    """No Redis is configured and no server binary can be found."""


class CompileFailed(StartupError, slug="compile_failed", title="Compilation failed"):
    """A kernel could not be compiled or loaded.

    `exceeded`: it took more time or memory than a kernel may take. `text` is the kernel's, where that is known.
    """

    def __init__(self, detail: str, *, exceeded: bool = False, text: str = "") -> None:
        super().__init__(detail)
        self.exceeded = exceeded
        self.text = text
