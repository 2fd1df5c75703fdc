"""Tracks the order of numbered steps on a stream: a step is not applied if an earlier one has failed."""

from typing import NamedTuple

from cellar.errors import NotReached
from cellar.ports import Identity
from cellar.sessions.requests.request import PendingSteps

MOST_FAILURES = 4096
"""Failures that a socket keeps, one for each session or writer. With more, the oldest is dropped."""


class Place(NamedTuple):
    """The number of a step, which depends on the step before it: of the session, or of its writer."""

    writer: str | None
    number: int


Chain = tuple[str, str | None]
"""A session, and a writer that numbers its requests; None for the numbers of the session itself."""


def place_of(identity: Identity) -> Place | None:
    """Return the place of a request; None with a position, which identifies the whole history of the session.

    A number alone is the same in any history. If step 5 failed because another client's step 5 was committed, step 6
    would be applied after a step that its sender does not know.
    """
    if identity.writer is not None and identity.seq is not None:
        return Place(identity.writer, identity.seq)
    if identity.position is None and identity.step is not None:
        return Place(None, identity.step)
    return None


def behind(place: Place) -> NotReached:
    """Return the error of steps after this place, whose step has failed."""
    return NotReached(f"{'step' if place.writer is None else 'request'} {place.number}, before this one, has failed")


class Order:
    """The steps in flight on one socket, each with the step that it depends on, and the places of failed ones."""

    def __init__(self) -> None:
        self._last: dict[Chain, PendingSteps] = {}
        self._failed: dict[Chain, int] = {}

    def predecessor(self, session: str, place: Place) -> PendingSteps | None:
        """Return the step in flight that must succeed before this one. Raise NotReached if it has failed."""
        chain = session, place.writer
        failed = self._failed.get(chain)
        if failed is None:
            return self._last.get(chain)
        if place.number > failed:
            raise behind(Place(place.writer, failed))
        del self._failed[chain]
        return None

    def begin(self, session: str, place: Place, pending: PendingSteps | None) -> None:
        """Add a step in flight. `pending` is None for one that was refused at once."""
        if pending is None:
            self._fail((session, place.writer), place.number)
        else:
            self._last[session, place.writer] = pending

    def end(self, session: str, place: Place, pending: PendingSteps, *, failed: bool) -> None:
        """Remove a step that is answered."""
        chain = session, place.writer
        if self._last.get(chain) is pending:
            del self._last[chain]
        if failed:
            self._fail(chain, place.number)

    def _fail(self, chain: Chain, number: int) -> None:
        self._failed[chain] = min(number, self._failed.get(chain, number))
        if len(self._failed) > MOST_FAILURES:
            del self._failed[next(iter(self._failed))]

    def forget_failures(self, session: str) -> None:
        """Drop the failures of a session whose client knows its position."""
        for chain in [chain for chain in self._failed if chain[0] == session]:
            del self._failed[chain]
