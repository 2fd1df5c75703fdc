"""Training jobs: submitted once, followed until they end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellar_client.arrays.inputs import Inputs, as_array
from cellar_client.catalogue.job_events import JobEvent, watch_job
from cellar_client.core.effects import Emission, Emit, Operation, Pause
from cellar_client.core.exchange import call, given, new_key
from cellar_client.documents import Document, EpochDocument, JobDocument, TrainingSettings
from cellar_client.errors import JobFailed

ENDED = ("succeeded", "failed", "cancelled")

POLL_S = 0.5
"""Pause between two readings of a job."""

MOST_EPOCHS = 10_000
"""Most epochs in one answer."""


class JobCore:
    """A training job, as it was read last."""

    def __init__(self, document: JobDocument, give_up_s: float) -> None:
        self.document = document
        self._path = f"/v1/jobs/{document['job']}"
        self._give_up_s = give_up_s

    def follow(self) -> Emission[JobDocument]:
        """Yield the job now, and each time that its state or progress changes, until it has ended."""
        yield Emit(self.document)
        while self.document["state"] not in ENDED:
            yield Emit((yield from self._await_change()))

    def events(self, *, after: str | None = None) -> Emission[JobEvent]:
        """Yield the events of the job until its end: from the first that is kept, or behind the one with an id.

        A lost connection is made again.
        """
        yield from watch_job(f"{self._path}/events", after=after, give_up_s=self._give_up_s)

    def history(self, *, after: int = 0) -> Emission[EpochDocument]:
        """Yield the finished epochs of the job, oldest first, or those behind the one with a number.

        `document` has the newest 1,000; a service of an earlier version knows no others.
        """
        cursor = str(after) if after else ""
        while True:
            params = {"cursor": cursor, "limit": MOST_EPOCHS}
            page = yield from call("GET", f"{self._path}/history", params=params, give_up_s=self._give_up_s)
            for epoch in page["epochs"]:
                yield Emit(epoch)
            cursor = page["cursor"]
            if not cursor:
                return

    def wait(self) -> Operation[str]:
        """Wait until the job has ended, and return the version that it has published, `co2@3`. Raise JobFailed."""
        while self.document["state"] not in ENDED:
            yield from self._await_change()
        result = self.document["result"]
        if self.document["state"] != "succeeded" or result is None:
            raise JobFailed(self.document)
        return result

    def refresh(self) -> Operation[JobDocument]:
        """Read the job."""
        self.document = yield from call("GET", self._path, give_up_s=self._give_up_s)
        return self.document

    def cancel(self) -> Operation[JobDocument]:
        """End the job: a queued one at once, a running one a moment later."""
        self.document = yield from call("POST", f"{self._path}/cancel", give_up_s=self._give_up_s)
        return self.document

    def retry(self) -> Operation[JobDocument]:
        """Run the job again, which has failed or was cancelled: from its last checkpoint if it has one.

        Raise JobActive, or JobNotRetryable.
        """
        self.document = yield from call("POST", f"{self._path}/retry", give_up_s=self._give_up_s)
        return self.document

    def delete(self) -> Operation[None]:
        """Delete the job, which has ended, with its data and its history. Raise JobActive."""
        yield from call("DELETE", self._path, give_up_s=self._give_up_s)

    def _await_change(self) -> Operation[JobDocument]:
        before = self.document
        while (yield from self.refresh()) == before:
            yield Pause(POLL_S)
        return self.document


def submit(
    model: str,
    data: "Dataset",
    validation: "float | Pair | None",
    key: str | None,
    settings: TrainingSettings,
    give_up_s: float,
) -> Operation[JobCore]:
    """Submit a job, once."""
    return (yield from submit_body(body_of(model, data, validation, settings), key, give_up_s))


def submit_body(body: Document, key: str | None, give_up_s: float) -> Operation[JobCore]:
    """Submit a job, once."""
    headers = new_key() if key is None else {"Idempotency-Key": key}
    return JobCore((yield from call("POST", "/v1/jobs", body, headers=headers, give_up_s=give_up_s)), give_up_s)


def body_of(model: str, data: "Dataset", validation: "float | Pair | None", settings: TrainingSettings) -> Document:
    """Return the request of a job."""
    body: Document = {"model": model, "data": data.document(), **settings}
    if isinstance(validation, tuple):
        body["data"]["validation"] = data.pair(*validation)
    elif validation is not None:
        body["validation"] = validation
    return body


def forecast_body(
    model: str,
    dataset: str,
    targets: Sequence[str] | None,
    inputs: Sequence[str] | None,
    horizon: int | None,
    settings: TrainingSettings,
) -> Document:
    """Return the request of a job on a dataset."""
    columns = {"targets": targets, "inputs": inputs}
    lists = {name: None if names is None else list(names) for name, names in columns.items()}
    return {"model": model, "data": {"dataset": dataset, **given(horizon=horizon, **lists)}, **settings}


Pair = tuple[Inputs, Inputs]
"""Inputs and targets."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs and targets as arrays, lists or tables, with a letter for each axis: T steps, B rows, F features.

    Without letters an array with one axis is (T, 1), with two (T, F), and with three (T, B, F).
    """

    inputs: Inputs
    targets: Inputs
    layout: str | None = None
    lengths: Sequence[int] | None = None
    weights: Inputs | None = None

    def document(self) -> Document:
        """Return them as JSON."""
        found = self.pair(self.inputs, self.targets)
        if self.lengths is not None:
            found["lengths"] = [int(length) for length in self.lengths]
        if self.weights is not None:
            weights = np.asarray(self.weights, np.float64)
            if self.layout is None and weights.ndim < np.ndim(found["inputs"]):
                weights = weights[..., None]
            found["weights"] = self._lists(weights)
        layout = self.layout or ("TBF" if np.ndim(found["inputs"]) > 2 else "TF")
        return {**found, "layout": layout}

    def pair(self, inputs: Inputs, targets: Inputs) -> Document:
        """Return inputs and targets as nested lists. A target that is NaN is null: it does not count."""
        return {"inputs": self._lists(inputs), "targets": _with_nulls(self._lists(targets))}

    def _lists(self, values: Inputs) -> list[Any]:
        array = np.asarray(values, np.float64) if self.layout else as_array(np.asarray(values, np.float64))
        found: list[Any] = array.tolist()
        return found


def _with_nulls(values: list[Any]) -> list[Any]:
    """Return nested lists with None for NaN."""
    return [_with_nulls(value) if isinstance(value, list) else None if value != value else value for value in values]
