"""Backtests that run as jobs: submitted, read, cancelled and deleted for the API.

Such a backtest is a job in the store of jobs, whose name begins with a tilde, which the name of no other job contains,
and which is in an index of its own. So workers, leases and the sweeper treat it as any job.
"""

import json
import logging
from typing import Any

from cellar.errors import (
    AlreadyExists,
    BacktestUnknown,
    FingerprintMismatch,
    InvalidInput,
    JobActive,
    JobUnknown,
    StoreUnavailable,
)
from cellar.jobs.backtests import stored_result
from cellar.jobs.backtests.request import BacktestOptions, begin
from cellar.jobs.options import JobOptions, Priority
from cellar.jobs.queue import JobQueue, name_of
from cellar.jobs.submission.forecast_submission import PinnedTables
from cellar.jobs.submission.submission import Jobs
from cellar.models.registry import Registry
from cellar.nn.forecasting.accuracy.backtest import origins_of
from cellar.nn.forecasting.accuracy.comparison import Result
from cellar.ports import Clock, Job, JobEventStore, JobState, JobStore

logger = logging.getLogger(__name__)

MARK = "~"
"""The first character of the names of their jobs."""

BACKTEST = "backtest"
"""The member of a job's spec with the options of its backtest."""

MOST_SERIES = 100_000
"""Most series of a dataset: the result has metrics of each."""


class Backtests:
    """Backtests of the API that workers run. Synchronous and safe to call from several threads."""

    def __init__(
        self,
        jobs: Jobs,
        store: JobStore,
        events: JobEventStore,
        registry: Registry,
        job_queue: JobQueue,
        datasets: PinnedTables,
        clock: Clock,
    ) -> None:
        """`store` lists backtests alone, and `jobs` has the quota of jobs."""
        self._jobs, self._store, self._events, self._datasets = jobs, store, events, datasets
        self._registry, self._job_queue, self._clock = registry, job_queue, clock

    def submit(
        self,
        tenant: str,
        model: str,
        dataset: str,
        options: BacktestOptions,
        *,
        priority: Priority = "normal",
        key: str | None = None,
    ) -> tuple[Job, bool]:
        """Store a backtest and queue it; return it, and whether an equal request with this key had made it before.

        Raise ModelUnknown, DatasetUnknown, InvalidInput for what the direct backtest refuses, FingerprintMismatch,
        QuotaExceeded or StoreUnavailable.
        """
        name = MARK + name_of(tenant, key)
        sent = options.model_dump(mode="json", exclude_unset=True)
        asked = {"model": model, "dataset": dataset, BACKTEST: sent, "priority": priority}
        if key is not None and (found := self._made(tenant, name, asked)) is not None:
            return found, True
        version = self._registry.get(tenant, model)
        if self._registry.graph(version) is not None:
            raise InvalidInput(
                f"{version.ref} is a graph of ONNX, which has no forecasts", expected="a network of layers"
            )
        if self._jobs.quota is not None:
            self._jobs.quota.admit_job(tenant, 0)
        stored = self._datasets.pin(tenant, dataset, name)
        table = self._datasets.table(stored)
        if (count := len(table.bounds) - 1) > MOST_SERIES:
            raise InvalidInput(
                "the dataset has too many series, whose metrics are all in the result",
                pointer="/dataset",
                expected=f"at most {MOST_SERIES} series",
                actual=str(count),
            )
        series, parts = begin(options, self._registry.network(version), table)
        origins = origins_of(series, parts)
        if not origins:
            raise InvalidInput(
                "no series has a row to forecast", pointer="/start", expected="fewer rows before the first forecast"
            )
        spec: dict[str, Any] = {"model": version.ref, "data": {"dataset": dataset, "digest": stored.digest}}
        spec |= {"asked": asked, BACKTEST: sent, "origins_total": origins} | JobOptions(priority).members()
        return self._create(Job(tenant, name, "queued", spec, self._clock.now_s()), asked)

    def _create(self, job: Job, asked: dict[str, Any]) -> tuple[Job, bool]:
        try:
            self._store.create(job)
        except AlreadyExists:
            if (found := self._made(job.tenant, job.job, asked)) is None:
                raise
            return found, True
        try:
            self._job_queue.push(job)
        except StoreUnavailable:
            logger.warning("backtest %s waits for the queue, which cannot be reached now", job.job)
        return job, False

    def _made(self, tenant: str, name: str, asked: dict[str, Any]) -> Job | None:
        """Return the backtest of that name, None if there is none. Raise FingerprintMismatch if it is another one."""
        try:
            found = self._store.get(tenant, name)
        except JobUnknown:
            return None
        if found.spec.get("asked") != asked:
            raise FingerprintMismatch("this Idempotency-Key was used for another backtest")
        return found

    def get(self, tenant: str, backtest: str) -> tuple[Job, Result | None]:
        """Return a backtest, and its result once it has succeeded. Raise BacktestUnknown."""
        job = _named(self._store.get, tenant, backtest)
        if job.state != "succeeded":
            return job, None
        data = self._events.result(tenant, job.job)
        return job, None if data is None else stored_result.load(data)

    def list(self, tenant: str, limit: int, state: JobState | None = None, after: str = "") -> tuple[list[Job], str]:
        """Return a page of backtests, the newest first, and the cursor that continues ("" at the end)."""
        found, cursor = self._store.list(tenant, limit, state, after.replace("~", "~" + MARK))
        return found, cursor.replace("~" + MARK, "~")

    def cancel(self, tenant: str, backtest: str) -> Job:
        """Ask a backtest to end and return it; a running one ends a moment later. Raise BacktestUnknown."""
        found: Job = _named(self._store.cancel, tenant, backtest)
        return found

    def delete(self, tenant: str, backtest: str) -> None:
        """Delete a backtest that has ended, with its result. Raise BacktestUnknown or JobActive."""
        _named(self._store.delete, tenant, backtest)


def _named(call: Any, tenant: str, backtest: str) -> Any:
    """Call the store with the name of a backtest. Raise BacktestUnknown, or JobActive."""
    try:
        return call(tenant, MARK + backtest)
    except JobUnknown:
        raise BacktestUnknown(f"no backtest {backtest!r}") from None
    except JobActive:
        raise JobActive(f"the backtest {backtest!r} has not ended: cancel it, and delete it when it has") from None


def is_backtest(job: str) -> bool:
    """Return whether the job of a name is a backtest."""
    return job.startswith(MARK)


def name_of_job(job: Job) -> str:
    """Return the name of a backtest in the API."""
    return job.job.removeprefix(MARK)


def options_of(job: Job) -> BacktestOptions:
    """Return the options of a backtest, of which those that were sent are set."""
    return BacktestOptions.model_validate_json(json.dumps(job.spec[BACKTEST]))
