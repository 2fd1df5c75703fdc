"""Sweeps, searches for the best settings of a training job, and their trials."""

from collections.abc import Iterator, Mapping
from typing import Any

from cellar_client.catalogue.job_events import JobEvent, items_of_events, watch_job
from cellar_client.core.effects import Emission, Operation, Pause
from cellar_client.core.exchange import call, given, new_key
from cellar_client.documents import Document, SweepDocument, TrialDocument
from cellar_client.errors import SweepFailed, TrialFailed

POLL_S = 1.0
"""Pause between two readings of a sweep."""

TRIAL_POLL_S = 0.25
"""Pause between two readings of a trial, which is short beside the second in which the service notes its end."""

OPEN = ("waiting", "running")


class TrialCore:
    """A trial of a sweep, as it was read last."""

    def __init__(self, sweep: str, document: TrialDocument, give_up_s: float) -> None:
        self.document = document
        self._path = f"/v1/sweeps/{sweep}/trials/{document['trial']}"
        self._give_up_s = give_up_s

    def epochs(self) -> Emission[Document]:
        """Yield `epoch`, `loss` and `validation_loss` of each epoch of the trial as it ends, until its job has ended.

        An epoch that is repeated after the death of a worker is not yielded again.
        """
        while self.document["job"] is None and self.document["state"] in OPEN:
            yield Pause(TRIAL_POLL_S)
            yield from self.refresh()
        newest = 0

        def ended(event: JobEvent) -> Iterator[Document]:
            """Return the epochs that an event has."""
            nonlocal newest
            for epoch in event.data.get("history", ()):
                if epoch["epoch"] > newest:
                    newest = epoch["epoch"]
                    yield epoch

        if self.document["job"] is not None:
            path = f"/v1/jobs/{self.document['job']}/events"
            yield from items_of_events(path, ended, give_up_s=self._give_up_s)

    def wait(self) -> Operation[float | None]:
        """Wait until the trial has ended, and return its value; None if that is not finite. Raise TrialFailed."""
        while (yield from self.refresh())["state"] in OPEN:
            yield Pause(TRIAL_POLL_S)
        if self.document["state"] != "succeeded":
            raise TrialFailed(self.document)
        return self.document["value"]

    def refresh(self) -> Operation[TrialDocument]:
        """Read the trial."""
        self.document = yield from call("GET", self._path, give_up_s=self._give_up_s)
        return self.document

    def cancel(self) -> Operation[None]:
        """End the trial by cancelling its job; the sweep continues. A trial that has ended stays as it is."""
        while (yield from self.refresh())["state"] == "waiting":
            yield Pause(TRIAL_POLL_S)
        if self.document["job"] is not None:
            yield from call("POST", f"/v1/jobs/{self.document['job']}/cancel", give_up_s=self._give_up_s)


class SweepCore:
    """A sweep, as it was read last."""

    def __init__(self, document: SweepDocument, give_up_s: float) -> None:
        self.document = document
        self._path = f"/v1/sweeps/{document['sweep']}"
        self._give_up_s = give_up_s

    def add_trial(self, parameters: Mapping[str, Any], *, key: str | None = None) -> Operation[TrialCore]:
        """Add a trial with these values of fields of the job, and return it; its job begins at once.

        The sweep must be one whose trials a client adds: `Client.sweep` without `parameters`. The same `key` is the
        same trial, also from another process. Raise InvalidInput for values that the job cannot have, or SweepNotOpen.
        """
        headers = new_key() if key is None else {"Idempotency-Key": key}
        body = {"parameters": dict(parameters)}
        made = yield from call("POST", f"{self._path}/trials", body, headers=headers, give_up_s=self._give_up_s)
        return TrialCore(self.document["sweep"], made, self._give_up_s)

    def trial(self, number: int) -> Operation[TrialCore]:
        """Return a trial by its number, from 1. Raise SweepUnknown if there is none."""
        found = yield from call("GET", f"{self._path}/trials/{number}", give_up_s=self._give_up_s)
        return TrialCore(self.document["sweep"], found, self._give_up_s)

    def finish(self) -> Operation[SweepDocument]:
        """Close the sweep for further trials of clients: once its trials have ended, the best result is published."""
        self.document = yield from call("POST", f"{self._path}/finish", give_up_s=self._give_up_s)
        return self.document

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


def begin_sweep(
    job: Document,
    parameters: Mapping[str, Any] | None,
    search: Mapping[str, Any] | None,
    alias: str | None,
    objective: str | None,
    max_parallel: int | None,
    key: str | None,
    give_up_s: float,
) -> Operation[SweepCore]:
    """Begin a sweep over the settings of a job, once."""
    chosen = dict(search or {"type": "grid" if parameters else "external"})
    body: Document = {"job": job, "parameters": dict(parameters or {}), "search": chosen, "publish": {"alias": alias}}
    body |= given(objective=objective, max_parallel=max_parallel)
    headers = new_key() if key is None else {"Idempotency-Key": key}
    return SweepCore((yield from call("POST", "/v1/sweeps", body, headers=headers, give_up_s=give_up_s)), give_up_s)
