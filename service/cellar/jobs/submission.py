"""What the api does with training jobs: submit, look, cancel."""

import hashlib
import json
import logging
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from cellar.errors import AlreadyExists, FingerprintMismatch, JobUnknown, StoreUnavailable
from cellar.jobs.calls import Calls
from cellar.jobs.dataset import pack_dataset
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.defaults import resolve
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check
from cellar.ports import BlobStore, Clock, Job, JobState, JobStore
from cellar.registry import Registry

logger = logging.getLogger(__name__)

Publish = Literal["if_better", "always"]
"""Whether a result that is worse than what the training began with becomes a version, too."""


def training_spec(job: Job) -> TrainingSpec:
    """Return how the job trains: its request without model and data."""
    fields = {name: value for name, value in job.spec.items() if name in TrainingSpec.model_fields}
    return TrainingSpec.model_validate_json(json.dumps(fields))


@dataclass(frozen=True, slots=True)
class Submission:
    """A job, and whether the same request had made it before."""

    job: Job
    replayed: bool


def publish_of(job: Job) -> Publish:
    """Return when the result of a job is published. Jobs from before one could ask publish always."""
    found: Publish = job.spec.get("publish", "always")
    return found


class Jobs:
    """Training jobs as the api sees them. Synchronous and safe to call from several threads."""

    def __init__(self, store: JobStore, blobs: BlobStore, registry: Registry, calls: Calls, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._registry = registry
        self._calls = calls
        self._clock = clock

    def submit(
        self,
        tenant: str,
        model: str,
        data: Dataset,
        training: TrainingSpec,
        *,
        publish: Publish = "if_better",
        key: str | None = None,
    ) -> Submission:
        """Store a job that trains `model` ("name" or "name@3") on arrays in (T, B, F), and queue it.

        The model is pinned here: the job trains the version that is the newest now. Settings that were not sent are
        chosen by the data (`cellar.nn.training.defaults`). The order is dataset, record,
        call: a crash in between leaves at most bytes that nothing refers to, or a record that the sweeper queues.
        The same `key` again returns the job that it made, as long as the job is known. Raise FingerprintMismatch if
        that was another one, ModelUnknown, InvalidInput where data and settings do not fit the model, or
        StoreUnavailable; then nothing is submitted.
        """
        version = self._registry.get(tenant, model)
        network = self._registry.network(version)
        training = resolve(network, data, training)
        updates = check(network, data, training)
        name = uuid.uuid4().hex if key is None else hashlib.sha256(f"{tenant}\n{key}".encode()).hexdigest()[:32]
        dataset = pack_dataset(name, data)
        blob = hashlib.sha256(dataset).hexdigest()
        asked = {"model": version.ref, "data": {"blob": blob}, "publish": publish, "updates_total": updates}
        spec = asked | training.model_dump(mode="json")
        job = Job(tenant=tenant, job=name, state="queued", spec=spec, created_s=self._clock.now_s())
        if key is not None and (found := self._made(job, model)) is not None:
            return Submission(found, replayed=True)
        self._blobs.put(dataset)
        try:
            self._store.create(job)
        except AlreadyExists:
            if (found := self._made(job, model)) is None:
                raise
            return Submission(found, replayed=True)
        try:
            self._calls.push(job)
        except StoreUnavailable:
            logger.warning("job %s waits for the queue, which cannot be reached now", name)
        return Submission(job, replayed=False)

    def _made(self, job: Job, model: str) -> Job | None:
        """Return the job of that name, None if there is none. Raise FingerprintMismatch if it is not the same.

        A model without a version may be at a newer one by now, the one that the job itself has made.
        """
        try:
            found = self._store.get(job.tenant, job.job)
        except JobUnknown:
            return None
        pinned = str(found.spec["model"])
        # A job of a release before this one does not name all that one names now.
        asked = {name: value for name, value in job.spec.items() if name in found.spec} | {"model": pinned}
        if model not in (pinned, pinned.partition("@")[0]) or found.spec != asked:
            raise FingerprintMismatch("this Idempotency-Key was used for another job")
        return found

    def get(self, tenant: str, job: str) -> Job:
        """Return a job with its newest progress. Raise JobUnknown."""
        return self._store.get(tenant, job)

    def history(self, tenant: str, job: str) -> list[dict[str, Any]]:
        """Return the finished epochs of a job, oldest first. Raise JobUnknown."""
        return self._store.history(tenant, job)

    def list(self, tenant: str, limit: int = 100, state: JobState | None = None) -> list[Job]:
        """Return the newest jobs first, or the newest of those in one state."""
        return self._store.list(tenant, limit, state)

    def cancel(self, tenant: str, job: str) -> Job:
        """Ask a job to end and return it as it is now: a running one ends a moment later. Raise JobUnknown."""
        return self._store.cancel(tenant, job)

    def unfinished(self, tenant: str, model: str) -> int:
        """Return how many queued and running jobs train a model ("name") or one version of it ("name@3")."""
        return len(self._store.unfinished(tenant, model))

    def cancel_unfinished(self, tenant: str, model: str) -> int:
        """Ask all those jobs to end, as `cancel` does; return how many they were.

        A job that has already fixed what it will publish is not cancelled: it fails if its model is gone by then.
        """
        jobs = self._store.unfinished(tenant, model)
        for job in jobs:
            with suppress(JobUnknown):  # it has expired meanwhile
                self._store.cancel(tenant, job.job)
        return len(jobs)
