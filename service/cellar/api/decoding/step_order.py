"""Which steps of a stream depend on each other, so that none is applied behind one that failed."""

from typing import NamedTuple

from cellar.errors import NotReached
from cellar.ports import Identity
from cellar.sessions.requests.request import PendingSteps

MOST_FAILURES = 4096
"""Failures that a socket remembers: of so many sessions, or writers of one. More than that, the oldest is forgotten."""


class Place(NamedTuple):
    """A step that names its number depends on the one before: of the session, or of its writer."""

    writer: str | None
    number: int


Chain = tuple[str, str | None]
"""A session, and a writer of it who numbers his requests; None for the numbers of the session itself."""


def place_of(identity: Identity) -> Place | None:
    """Return a request's place. One that names a position needs none: that is a whole history, which can be compared.

    A number alone is the same in any history. If step 5 failed because somebody else's was there, step 6 would be
    applied behind a step 5 that its sender does not know.
    """
    if identity.writer is not None and identity.seq is not None:
        return Place(identity.writer, identity.seq)
    if identity.position is None and identity.step is not None:
        return Place(None, identity.step)
    return None


def behind(place: Place) -> NotReached:
    """Return the error of steps behind this place, whose own step has failed."""
    return NotReached(f"{'step' if place.writer is None else 'request'} {place.number}, before this one, has failed")


class Order:
    """The steps in flight on one socket, each with the one that it depends on, and where those that failed were."""

    def __init__(self) -> None:
        self._last: dict[Chain, PendingSteps] = {}
        self._failed: dict[Chain, int] = {}

    def predecessor(self, session: str, place: Place) -> PendingSteps | None:
        """Return the step that must succeed before this one, if it is in flight.

        Raise NotReached if it has failed: until it is sent again, or the client begins anew at a position.
        """
        chain = session, place.writer
        failed = self._failed.get(chain)
        if failed is None:
            return self._last.get(chain)
        if place.number > failed:
            raise behind(Place(place.writer, failed))
        del self._failed[chain]
        return None

    def begin(self, session: str, place: Place, pending: PendingSteps | None) -> None:
        """Note a step that is in flight now, or (None) that was refused at once."""
        if pending is None:
            self._fail((session, place.writer), place.number)
        else:
            self._last[session, place.writer] = pending

    def end(self, session: str, place: Place, pending: PendingSteps, *, failed: bool) -> None:
        """Note that a step is answered."""
        chain = session, place.writer
        if self._last.get(chain) is pending:
            del self._last[chain]
        if failed:
            self._fail(chain, place.number)

    def _fail(self, chain: Chain, number: int) -> None:
        self._failed[chain] = min(number, self._failed.get(chain, number))
        if len(self._failed) > MOST_FAILURES:
            del self._failed[next(iter(self._failed))]

    def forgive(self, session: str) -> None:
        """Forget the failures of a session whose client knows where it is."""
        for chain in [chain for chain in self._failed if chain[0] == session]:
            del self._failed[chain]
