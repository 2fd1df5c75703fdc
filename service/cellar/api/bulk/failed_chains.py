"""Which numbered steps of a bulk request failed, so that those behind them are told that, and not what follows from it.

A step that was refused because the service was full leaves its session where it was. The next one, one number further,
is then ahead of the session, and would be told that steps are missing that nobody has lost.
"""

from cellar.api.bulk.requests import BulkStep
from cellar.api.decoding.step_order import MOST_FAILURES, Chain, Place, behind, place_of
from cellar.errors import PositionConflict, Regressed, WriterUnknown


class FailedChains:
    """The first failure of each session, and of each writer of one. Errors are shown to it in the steps' order."""

    def __init__(self) -> None:
        self._failed: dict[Chain, int] = {}

    def told(self, ask: BulkStep, error: Exception) -> Exception:
        """Return what a step is to be told, given what went wrong with it: NotReached behind one that has failed."""
        place = None if ask.command is None else place_of(ask.command.identity)
        if place is None or ask.session is None:
            return error
        chain = (ask.session, place.writer)
        failed = self._failed.get(chain)
        if failed is not None and place.number > failed and isinstance(error, Regressed | WriterUnknown):
            return behind(Place(place.writer, failed))
        if not isinstance(error, PositionConflict) and len(self._failed) < MOST_FAILURES:
            self._failed[chain] = place.number if failed is None else min(failed, place.number)
        return error
