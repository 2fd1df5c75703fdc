"""Close codes and reasons of streams: the table from error class to code, like that of HTTP statuses."""

from http import HTTPStatus
from typing import NamedTuple

from cellar import errors
from cellar.api.errors.problems import status_of

REASON_BYTES = 123
"""Longest reason of a close frame, whose payload may have 125 bytes with the code."""

OWN_CODES = 4000
"""The first close code of applications. Ours are this plus the HTTP status."""

CODES: dict[type[errors.CellarError], int] = {
    errors.MalformedJson: 1007,
    errors.MalformedBody: 1007,
    errors.Overloaded: 1013,
}
"""Errors for which the WebSocket protocol has a code. Others have OWN_CODES plus their status, internal ones 1011."""

INTERNAL = 1011

ENDING = (errors.NotFound, errors.Gone, errors.PositionConflict, errors.KernelRevisionMismatch)
"""Errors of a step that end the stream of its session, because the steps after it have no place any more."""


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
    """Return the close frame of a stream that ends with this error. The reason begins with the slug of the error."""
    if isinstance(error, errors.InternalError):
        return BROKEN
    reason = f"{error.slug}: {error.detail}".encode()[:REASON_BYTES]
    return Closing(code_of(type(error)), reason.decode(errors="ignore"))


def ends(error: errors.CellarError) -> bool:
    """Return whether an error of one step ends the stream of its session."""
    return isinstance(error, ENDING) or code_of(type(error)) == INTERNAL


KEY_ENDED = closing_of(errors.Unauthenticated("the API key has ended or was revoked"))
"""The close frame of a stream whose key ends while it is open."""
