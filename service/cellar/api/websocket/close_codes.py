"""How a stream ends: one table from error class to close code, beside that of statuses."""

from http import HTTPStatus
from typing import NamedTuple

from cellar import errors
from cellar.api.errors.problems import status_of

REASON_BYTES = 123
"""Of a close frame, whose payload may have 125 with the code."""

OWN_CODES = 4000
"""Close codes that an application may give begin here; ours are the HTTP statuses above it."""

CODES: dict[type[errors.CellarError], int] = {
    errors.MalformedJson: 1007,
    errors.MalformedBody: 1007,
    errors.Overloaded: 1013,
}
"""What the WebSocket protocol has a code for. All else is 4000 and its status, a fault of the service 1011."""

INTERNAL = 1011

ENDING = (errors.NotFound, errors.Gone, errors.PositionConflict, errors.KernelRevisionMismatch)
"""Errors of a step after which the stream of its session has no meaning: what follows has lost its place."""


class Closing(NamedTuple):
    """The code and the reason of a close frame."""

    code: int
    reason: str


STOPPING = Closing(1012, "stopping: connect again and resume")
BROKEN = Closing(INTERNAL, "internal_error: the fault is in the log of the service")


def code_of(kind: type[errors.CellarError]) -> int:
    """Return the close code of an error class."""
    found = next((CODES[ancestor] for ancestor in kind.__mro__ if ancestor in CODES), 0)
    if found:
        return found
    status = status_of(kind)
    return INTERNAL if status == HTTPStatus.INTERNAL_SERVER_ERROR else OWN_CODES + status


def closing_of(error: errors.CellarError) -> Closing:
    """Return how a stream ends that ends with this error: the reason begins with the name of the problem."""
    if isinstance(error, errors.InternalError):
        return BROKEN
    reason = f"{error.slug}: {error.detail}".encode()[:REASON_BYTES]
    return Closing(code_of(type(error)), reason.decode(errors="ignore"))


def ends(error: errors.CellarError) -> bool:
    """Return whether an error of one step ends the stream of its session."""
    return isinstance(error, ENDING) or code_of(type(error)) == INTERNAL
