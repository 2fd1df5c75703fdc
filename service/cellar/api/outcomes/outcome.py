"""The outcome of a request, and the one place to which all transports report it."""

import re
from collections.abc import Callable
from typing import NamedTuple

SESSION = re.compile(r"/v1/sessions/([^/]+)(?=/|$)")
"""The session in a path as it was sent."""

FAILED = 400
"""The lowest status of a failed request."""


class Outcome(NamedTuple):
    """The outcome of a request. Texts are "" where there is nothing to say."""

    transport: str
    """`http` or `websocket`."""
    method: str
    route: str
    """The path with placeholders, `/v1/sessions/{session}/step`; "" for a path that no route has."""
    status: int
    problem: str
    """The name of the problem of a failed request."""
    tenant: str
    session: str
    duration_s: float
    request_id: str
    lines: str = ""
    """The failed lines of a bulk request, whose status and problem are those of the worst and of most lines."""

    @property
    def has_failed(self) -> bool:
        """Whether the request has failed."""
        return self.status >= FAILED


class Outcomes:
    """The outcomes of a process. Those of plain steps that succeed are reported only if all are wanted."""

    def __init__(self, note: Callable[[Outcome], object], *, wants_all: bool = False) -> None:
        self.note = note
        """Reports an outcome."""
        self.wants_all = wants_all
        """Whether successful requests are reported too."""


def no_outcomes() -> Outcomes:
    """Return a place in which nothing is kept."""
    return Outcomes(lambda _: None)
