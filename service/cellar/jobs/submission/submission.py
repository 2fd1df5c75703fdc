"""Submits training jobs, reads them and cancels them, for the API."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from cellar.errors import AlreadyExists, FingerprintMismatch, JobActive, JobTooLarge, JobUnknown, StoreUnavailable
from cellar.jobs.job_blobs import delete_blobs
from cellar.jobs.options import DEFAULTS, OPTIONS, JobOptions, JobQuota, Publish
from cellar.jobs.queue import AttemptQueue, name_of
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.submission.dataset import pack_dataset
from cellar.jobs.submission.forecast_submission import (
    PinnedTables,
    asked_of,
    existing,
    memory_members,
    plan_of,
    sent_fields,
    specification,
)
from cellar.jobs.submission.resumption import BEGIN, RESUME_FROM, Resumption, Stored
from cellar.models.registry import Registry
from cellar.nn.model.network import Network
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.data.defaults import resolve
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import Extent, check
from cellar.nn.training.update.window_memory import WINDOW_BYTES
from cellar.ports import BlobStore, Clock, Job, JobState, JobStore, ModelVersion, UnendedJob
from cellar.ports.catalogue.datasets import StoredDataset, Table

logger = logging.getLogger(__name__)

MEMORY = ("memory_bytes", "window_bytes")
"""Members of a job's spec: the memory that it needs at most, and the bound of its windows if it is a smaller one."""

SWEEP = "sweep"
"""The member of the spec of a trial with the name of its sweep."""

PROMOTED = "promoted"
"""The member of the outcome of a trial whose result is to be published."""


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """A job, and whether it had been submitted before by the same request."""

    job: Job
    replayed: bool


def _bytes_of(dataset_bytes: int, begin: Stored | None) -> int:
    return dataset_bytes + (0 if begin is None else len(begin.blob))


class Jobs:
    """Training jobs of the API. Synchronous and safe to call from several threads."""

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        registry: Registry,
        job_queue: AttemptQueue,
        clock: Clock,
        datasets: PinnedTables | None = None,
        *,
        most_bytes: int | None = None,
    ) -> None:
        """Refuse jobs that need more memory than `most_bytes`."""
        self._store = store
        self._blobs = blobs
        self._registry = registry
        self._job_queue = job_queue
        self._clock = clock
        self._tables = datasets
        self._most_bytes = most_bytes
        self._resumption = Resumption(store, blobs, registry)
        self.quota: JobQuota | None = None
        """Refuses jobs beyond the quotas of their tenant; None: all are taken."""

    def submit(
        self,
        tenant: str,
        model: str,
        data: Dataset,
        training: TrainingSpec,
        *,
        publish: Publish = "if_better",
        options: JobOptions = DEFAULTS,
        key: str | None = None,
        sweep: str | None = None,
        resume_from: str | None = None,
    ) -> JobSubmission:
        """Store a job that trains `model` ("name", "name@3" or "name@live") on arrays in (T, B, F), and queue it.

        The result of a job of a sweep is published only if the sweep says so. With `resume_from` the job continues
        another one, which has ended (`cellar.jobs.submission.resumption`).

        The model is pinned now: the job trains the present newest version, or that of the alias. Settings that were not
        sent depend on the data (`cellar.nn.training.data.defaults`). Dataset, record and call are written in this
        order: a crash in between leaves at most bytes that nothing refers to, or a record that the sweeper queues. A
        second call with the same `key` returns the job of the first, as long as it is stored. Raise
        FingerprintMismatch if the first was another request, ModelUnknown, InvalidInput if data or settings do not
        fit the model, JobTooLarge, what `Resumption.begin` raises, or StoreUnavailable; then nothing is submitted.
        """
        version, training, extent = self.examine(tenant, model, data, training, options)
        name = name_of(tenant, key)
        dataset = pack_dataset(name, data)
        blob = hashlib.sha256(dataset).hexdigest()
        asked = {"model": version.ref, "data": {"blob": blob}, "publish": publish, "updates_total": extent.updates}
        spec = asked | {"dataset_bytes": len(dataset)} | memory_members(extent) | options.members()
        spec |= training.model_dump(mode="json") | ({} if sweep is None else {SWEEP: sweep})
        spec |= {} if resume_from is None else {RESUME_FROM: resume_from}
        job = Job(tenant=tenant, job=name, state="queued", spec=spec, created_s=self._clock.now_s())
        if key is not None and (found := self._made(job, model)) is not None:
            return JobSubmission(found, replayed=True)
        begin = None
        if resume_from is not None:
            begin = self._resumption.begin(tenant, resume_from, name, self._registry.network(version), training)
        self._check_limits(tenant, extent, _bytes_of(len(dataset), begin), self._most_of(options))
        self._blobs.put(dataset)
        job = self._with_begin(job, begin)
        return self._create(job, lambda: self._made(job, model))

    def _create(self, job: Job, found: Callable[[], Job | None]) -> JobSubmission:
        """Store a job and queue it, or return the one that another call has stored."""
        try:
            self._store.create(job)
        except AlreadyExists:
            if (made := found()) is None:
                raise
            return JobSubmission(made, replayed=True)
        self._push(job)
        return JobSubmission(job, replayed=False)

    def _with_begin(self, job: Job, begin: Stored | None) -> Job:
        """Store the state with which a job begins, and return the job with its digest."""
        if begin is None:
            return job
        size = _bytes_of(job.spec["dataset_bytes"], begin)
        return replace(job, spec=job.spec | begin.members(self._blobs.put(begin.blob)) | {"dataset_bytes": size})

    def examine(
        self, tenant: str, model: str, data: Dataset, training: TrainingSpec, options: JobOptions
    ) -> tuple[ModelVersion, TrainingSpec, Extent]:
        """Return the version that a job would train, its settings and its extent. Raise as `submit`."""
        version = self._registry.get(tenant, model)
        network = self._registry.network(version)
        training = resolve(network, data, training)
        return version, training, check(network, data, training, self._most_of(options), options.processes)

    def _most_of(self, options: JobOptions) -> int | None:
        """Return the most memory that a job may have."""
        return min((most for most in (self._most_bytes, options.max_memory_bytes) if most is not None), default=None)

    def submit_forecast(
        self,
        tenant: str,
        model: str,
        data: ForecastData,
        training: TrainingSpec,
        *,
        layers: Any = None,
        publish: Publish = "if_better",
        options: JobOptions = DEFAULTS,
        key: str | None = None,
        sweep: str | None = None,
        resume_from: str | None = None,
    ) -> JobSubmission:
        """Store a job that trains on a dataset, and queue it; otherwise as `submit`. The model may be new.

        A job of a sweep whose model has no version makes a new model, also if there is one of that name meanwhile.

        The plan is made now (`cellar.jobs.recipe`): what was fitted to the readings is part of the job, or was fitted
        for the model or the job that it continues. Raise DatasetUnknown, or InvalidInput for columns or settings that
        do not fit the dataset.
        """
        name = name_of(tenant, key)
        sent = sent_fields(training)
        asked = asked_of(model, data, sent, layers, publish) | {"options": options.members()}
        asked |= {} if resume_from is None else {RESUME_FROM: resume_from}
        if key is not None and (found := self._asked(tenant, name, asked)) is not None:
            return JobSubmission(found, replayed=True)
        version = None if sweep is not None and "@" not in model else existing(self._registry, tenant, model)
        network = self._continued(tenant, version, resume_from)
        stored = self.pin(tenant, data.dataset, name)
        plan = plan_of(network, self._table(stored), data, sent, layers)
        most = self._most_of(options)
        ref = model if version is None else version.ref
        spec = specification(plan, ref, asked, stored.digest, most, options.processes)
        spec |= options.members() | ({} if sweep is None else {SWEEP: sweep})
        spec |= {} if resume_from is None else {RESUME_FROM: resume_from}
        begin = None
        if resume_from is not None:
            begin = self._resumption.begin(tenant, resume_from, name, Network(plan.network), plan)
        extent = Extent(plan.updates, spec["memory_bytes"], WINDOW_BYTES)
        self._check_limits(tenant, extent, _bytes_of(0, begin), most)
        job = Job(tenant=tenant, job=name, state="queued", spec=spec, created_s=self._clock.now_s())
        job = self._with_begin(job, begin)
        return self._create(job, lambda: self._asked(tenant, name, asked))

    def _continued(self, tenant: str, version: ModelVersion | None, resume_from: str | None) -> Network | None:
        """Return the network of the version, or of the job that a job continues; None for a new one."""
        if version is not None:
            return self._registry.network(version)
        return None if resume_from is None else self._resumption.network(tenant, resume_from)

    def pin(self, tenant: str, dataset: str, name: str) -> StoredDataset:
        """Return a dataset, which cannot be deleted until the job or sweep has ended. Raise DatasetUnknown."""
        assert self._tables is not None
        return self._tables.pin(tenant, dataset, name)

    def _table(self, stored: StoredDataset) -> Table:
        assert self._tables is not None
        return self._tables.table(stored)

    def examine_forecast(
        self, stored: StoredDataset, model: str, data: ForecastData, training: TrainingSpec, layers: Any
    ) -> None:
        """Raise the errors of `submit_forecast` for columns, settings or layers that cannot be."""
        network = self._registry.network(self._registry.get(stored.tenant, model)) if "@" in model else None
        specification(plan_of(network, self._table(stored), data, sent_fields(training), layers), model, {}, "")

    def _asked(self, tenant: str, name: str, asked: dict[str, Any]) -> Job | None:
        """Return the job of that name, None if there is none. Raise FingerprintMismatch if another was asked for."""
        try:
            found = self._store.get(tenant, name)
        except JobUnknown:
            return None
        if found.spec.get("asked") != asked:
            raise FingerprintMismatch("this Idempotency-Key was used for another job")
        return found

    def _push(self, job: Job) -> None:
        """Queue a job; if the queue cannot be reached, a sweeper does it later."""
        try:
            self._job_queue.push(job)
        except StoreUnavailable:
            logger.warning("job %s waits for the queue, which cannot be reached now", job.job)

    def _check_limits(self, tenant: str, extent: Extent, dataset_bytes: int, most_bytes: int | None) -> None:
        """Raise JobTooLarge for a run that needs more memory than a job may have, or QuotaExceeded."""
        if self.quota is not None:
            self.quota.admit_job(tenant, dataset_bytes)
        if most_bytes is not None and extent.memory_bytes > most_bytes:
            limit = "CELLAR_JOB_MEMORY_BYTES" if most_bytes == self._most_bytes else "its max_memory_bytes"
            raise JobTooLarge(
                f"the job needs {extent.memory_bytes} bytes of memory, more than {limit}: send"
                " a smaller batch_size, a shorter window or recompute, or fewer data",
                pointer="/batch_size",
                expected=f"at most {most_bytes} bytes",
                actual=f"{extent.memory_bytes} bytes",
            )

    def _made(self, job: Job, model: str) -> Job | None:
        """Return the job of that name, None if there is none. Raise FingerprintMismatch if it is not the same.

        A model named without a version may have a newer version now, which the job itself may have published. An alias
        may name another version now.
        """
        try:
            found = self._store.get(job.tenant, job.job)
        except JobUnknown:
            return None
        pinned = str(found.spec["model"])
        # the stored spec of a job from an earlier release may lack members
        asked = {name: value for name, value in job.spec.items() if name in found.spec} | {"model": pinned}
        # the memory depends on the settings of the process that was asked
        asked |= {name: found.spec[name] for name in (*MEMORY, BEGIN) if name in found.spec}
        name, _, version = model.partition("@")
        is_same = model == pinned or (name == pinned.partition("@")[0] and not version.isdecimal())
        is_same = is_same and JobOptions.of(found) == JobOptions.of(job)
        is_same = is_same and found.spec.get(RESUME_FROM) == job.spec.get(RESUME_FROM)
        asked |= {name: found.spec[name] for name in (*OPTIONS, "dataset_bytes") if name in found.spec}
        if not is_same or found.spec != asked:
            raise FingerprintMismatch("this Idempotency-Key was used for another job")
        return found

    def get(self, tenant: str, job: str) -> Job:
        """Return a job with its newest progress. Raise JobUnknown."""
        return self._store.get(tenant, job)

    def history(self, tenant: str, job: str) -> list[dict[str, Any]]:
        """Return the finished epochs of a job, oldest first. Raise JobUnknown."""
        return self._store.history(tenant, job)

    def list(
        self, tenant: str, limit: int = 100, state: JobState | None = None, after: str = ""
    ) -> tuple[list[Job], str]:
        """Return a page of jobs, the newest first, and the cursor that continues ("" at the end)."""
        return self._store.list(tenant, limit, state, after)

    def cancel(self, tenant: str, job: str) -> Job:
        """Ask a job to end and return it; a running job ends a moment later. Raise JobUnknown."""
        return self._store.cancel(tenant, job)

    def retry(self, tenant: str, job: str) -> Job:
        """Queue a failed or cancelled job again; it continues from its checkpoint if it has one.

        Raise JobUnknown, JobActive, JobNotRetryable if it has succeeded or its data are deleted, QuotaExceeded,
        Overloaded or StoreUnavailable.
        """
        found = self._store.get(tenant, job)
        if self.quota is not None and found.state in ("failed", "cancelled"):
            self.quota.admit_job(tenant, found.spec.get("dataset_bytes", 0))
        made = self._store.retry(tenant, job)
        self._push(made)
        return made

    def publish_result(self, job: Job) -> None:
        """Have the result of a trial published, by a worker. A repeated call does nothing. Raise StoreUnavailable."""
        if job.outcome is not None and self._store.promote(job, job.outcome | {PROMOTED: True}):
            self._push(self._store.get(job.tenant, job.job))

    def delete(self, tenant: str, job: str) -> None:
        """Delete an ended job with its dataset and its history. Raise JobUnknown or JobActive.

        The version that it has published stays. The blobs go first: a deletion that is cut off can be repeated.
        """
        found = self._store.get(tenant, job)
        if found.state in ("queued", "running"):
            raise JobActive(f"the job {job!r} is {found.state}: cancel it, and delete it when it has ended")
        delete_blobs(found, self._blobs)
        if SWEEP in found.spec and found.outcome is not None:
            self._registry.forget_weights(found.outcome["weights"])
        self._store.delete(tenant, job)

    def unfinished(self, tenant: str, model: str) -> int:
        """Return the number of queued and running jobs that train a model ("name") or a version ("name@3")."""
        return len(self._store.unfinished(tenant, model))

    def unended(self) -> Sequence[UnendedJob]:
        """Return the queued and running jobs of all tenants."""
        return self._store.unended()

    def cancel_unfinished(self, tenant: str, model: str) -> int:
        """Ask all those jobs to end, as `cancel` does; return their number.

        A job whose outcome is sealed is not cancelled: it fails if its model no longer exists when it publishes.
        """
        jobs = self._store.unfinished(tenant, model)
        for job in jobs:
            with suppress(JobUnknown):  # it has expired meanwhile
                self._store.cancel(tenant, job.job)
        return len(jobs)
