"""Sweeps: searches for the best settings of a training job."""

from cellar_client.catalogue.job_events import JobEvent, watch_job
from cellar_client.core.effects import Emission, Operation, Pause
from cellar_client.core.exchange import call
from cellar_client.documents import Document, SweepDocument
from cellar_client.errors import SweepFailed

POLL_S = 1.0
"""Pause between two readings of a sweep."""


class SweepCore:
    """A sweep, as it was read last."""

    def __init__(self, document: SweepDocument, give_up_s: float) -> None:
        self.document = document
        self._path = f"/v1/sweeps/{document['sweep']}"
        self._give_up_s = give_up_s

    def events(self, *, after: str | None = None) -> Emission[JobEvent]:
        """Yield the trials of the sweep as they begin and end, until it has ended, or those behind an event."""
        yield from watch_job(f"{self._path}/events", after=after, give_up_s=self._give_up_s)

    def wait(self) -> Operation[str | None]:
        """Wait until the sweep has ended, and return the version with the best weights. Raise SweepFailed."""
        while (yield from self.refresh())["state"] == "running":
            yield Pause(POLL_S)
        if self.document["state"] != "succeeded":
            raise SweepFailed(self.document)
        return self.document["result"]

    def refresh(self) -> Operation[SweepDocument]:
        """Read the sweep."""
        self.document = yield from call("GET", self._path, give_up_s=self._give_up_s)
        return self.document

    def curves(self) -> Operation[list[Document]]:
        """Return the losses of the best trials after each epoch, for a plot."""
        found: Document = yield from call("GET", f"{self._path}/curves", give_up_s=self._give_up_s)
        curves: list[Document] = found["curves"]
        return curves

    def cancel(self) -> Operation[SweepDocument]:
        """End the sweep with its jobs."""
        self.document = yield from call("POST", f"{self._path}/cancel", give_up_s=self._give_up_s)
        return self.document

    def delete(self) -> Operation[None]:
        """Delete the sweep, which has ended, with its jobs. Raise SweepActive."""
        yield from call("DELETE", self._path, give_up_s=self._give_up_s)
