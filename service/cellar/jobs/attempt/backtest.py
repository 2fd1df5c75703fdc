"""Runs one attempt of a backtest. It has no checkpoints: the next attempt begins again, with the same numbers."""

import logging
import time
from typing import Any

from cellar.errors import DatasetUnknown, InvalidInput, Superseded
from cellar.jobs.attempt.runner import JobAttempt
from cellar.jobs.backtests import stored_result
from cellar.jobs.backtests.backtests import options_of
from cellar.jobs.backtests.request import begin
from cellar.models.registry import Registry
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy.backtest import Backtest
from cellar.ports import Job

logger = logging.getLogger(__name__)

REPORT_S = 1.0
"""Time between two reports of progress."""


class BacktestAttempt(JobAttempt):
    """The steps of an attempt of a backtest."""

    def run(self) -> None:
        """Compute the backtest, and store its result."""
        registry = self._registry = self._prepare()
        job = self._retry(lambda: self._jobs.get(self._lease.tenant, self._lease.job))
        backtest = self._retry(lambda: self._begin(job, registry))
        total, began_s = job.spec["origins_total"], time.monotonic()
        due_s = began_s + REPORT_S
        while backtest.advance():
            self._moved_s = now_s = time.monotonic()
            if self._keeper.superseded.is_set():
                raise Superseded(f"attempt {self._lease.attempt} of backtest {self._lease.job} lost its lease")
            if self._keeper.cancelled.is_set():
                return self._cancel()
            if self._stop.is_set():
                return self._jobs.release(self._lease)
            if now_s >= due_s:
                self._tell(backtest.origins, total, now_s - began_s)
                due_s = now_s + REPORT_S
        self._moved_s = None
        data = stored_result.dump(backtest.result())
        self._tell(backtest.origins, total, time.monotonic() - began_s)
        self._retry(lambda: self._jobs.store_result(self._lease, data))
        self._retry(lambda: self._jobs.finish(self._lease, "succeeded"))
        logger.info("backtest %s: %d forecasts", self._lease.job, backtest.origins)
        return None

    def _begin(self, job: Job, registry: Registry) -> Backtest:
        assert self._tables is not None
        stored = self._tables.get(job.tenant, job.spec["data"]["dataset"])
        if stored.digest != job.spec["data"]["digest"]:
            raise DatasetUnknown(f"the dataset {stored.dataset!r} was deleted, and another one has its name now")
        network = registry.load(registry.get(job.tenant, job.spec["model"])).network
        if not isinstance(network, BoundNetwork):
            raise InvalidInput("the model has no forecasts", expected="a network of layers")
        return Backtest(network, *begin(options_of(job), network.network, self._tables.table(stored)))

    def _tell(self, origins: int, total: int, elapsed_s: float) -> None:
        """Report the progress."""
        left_s = elapsed_s * (total - origins) / origins if origins else None
        progress: dict[str, Any] = {"origins": origins, "origins_total": total}
        progress |= {"elapsed_s": round(elapsed_s, 3), "time_left_s": None if left_s is None else round(left_s, 3)}
        self._retry(lambda: self._jobs.report(self._lease, progress))
