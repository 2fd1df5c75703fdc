"""The failed steps of a bulk request: later numbered steps of the same session get the error `not_reached`.

If a step is refused because the service is full, its session does not advance. The step with the next number is then
ahead of the session, and without this its error would say that the service has lost steps.
"""

from cellar.api.bulk.requests import BulkStep
from cellar.api.decoding.step_order import MOST_FAILURES, Chain, Place, behind, place_of
from cellar.errors import PositionConflict, Regressed, WriterUnknown


class FailedChains:
    """The first failure of each session, and of each of its writers. Errors are passed in the order of the steps."""

    def __init__(self) -> None:
        self._failed: dict[Chain, int] = {}

    def error_for(self, step: BulkStep, error: Exception) -> Exception:
        """Return the error that a step is answered with: NotReached after a failed one, otherwise its own."""
        place = None if step.command is None else place_of(step.command.identity)
        if place is None or step.session is None:
            return error
        chain = (step.session, place.writer)
        failed = self._failed.get(chain)
        if failed is not None and place.number > failed and isinstance(error, Regressed | WriterUnknown):
            return behind(Place(place.writer, failed))
        if not isinstance(error, PositionConflict) and len(self._failed) < MOST_FAILURES:
            self._failed[chain] = place.number if failed is None else min(failed, place.number)
        return error
