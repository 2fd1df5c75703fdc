"""Handles commit conflicts between processes: retries, and requests to the other processes to pause."""

from time import monotonic
from typing import Any

from cellar.errors import CellarError, Overloaded, Regressed
from cellar.metrics.counts import COUNTS
from cellar.ports import Commit, SessionRecord
from cellar.sessions.requests.request import Request

PATIENT_LOSSES = 3
"""Failed commits of a request after which it asks the other processes to pause: fewer happen by chance."""

MAX_WANTED_PAUSE_S = 0.1
"""Longest pause to ask for; a process asks for twice the time that its last try took."""

CONTENTION_S = 20.0
"""Time of failed commits after which a request is given up: after that many pauses only a fault gets there."""


def note_loss(request: Request[Any], commit: Commit, now: SessionRecord) -> CellarError | None:
    """Note that the session had changed before the commit. Return an error, or None for the request to run again."""
    COUNTS.commit_conflicts += 1
    before, time_s = commit.before, monotonic()
    request.lost += 1
    if request.lost >= PATIENT_LOSSES:
        request.wanted_pause_s = min(2 * (time_s - request.tried_s), MAX_WANTED_PAUSE_S)
    is_marked = now.meta.deleted is not None and before.meta.deleted is None  # which changes no revision
    least = before.revision if is_marked else before.revision + 1
    if now.meta.incarnation == before.meta.incarnation and now.revision < least:
        detail = f"the store has lost changes: this service had seen revision {before.revision} of the session"
        return Regressed(detail, position=str(now.position))
    if time_s - request.taken_s > CONTENTION_S:
        return contended()
    return None


def contended() -> Overloaded:
    """Return the error of a request whose commits failed for too long because of other processes."""
    return Overloaded("other processes change this session without a pause")
