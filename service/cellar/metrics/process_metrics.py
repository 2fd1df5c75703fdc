"""The metrics of this process, which it publishes to the others of its service, and those of the whole service."""

import logging
import os
import time
from collections.abc import Callable, Mapping

from cellar.machine import resident_bytes
from cellar.metrics.catalogue import METRICS
from cellar.metrics.counts import COUNTS, ProcessCounts
from cellar.metrics.shared_page import SharedPage
from cellar.metrics.snapshot import Series, Snapshot, add, counters_of, merged
from cellar.metrics.window import Window

logger = logging.getLogger(__name__)

PUBLISH_S = 0.5
"""Seconds between two snapshots: what a process that is killed has counted since the last one is lost."""


class ProcessMetrics:
    """Publishes snapshots of the counts of this process, and reads those of all."""

    def __init__(
        self, process: str, page: SharedPage | None = None, region: int = 0, counts: ProcessCounts = COUNTS
    ) -> None:
        """Continue the counters of the region, which an earlier process has left."""
        self.process = process
        self.gauges: Callable[[], Mapping[str, float]] = dict
        """Returns the gauges of this process; set by what creates its parts."""
        self.window = Window()
        """The last minute of the service, which `sample` records."""
        self._page = page
        self._region = region
        self._counts = counts
        self._started_s = time.time()
        self._before: Series = {}
        self._was_too_long = False
        earlier = None if page is None else page.read(region)
        if earlier is not None:
            add(self._before, Snapshot.of(earlier).counters)

    def snapshot(self) -> Snapshot:
        """Return the metrics of this process now."""
        counters: Series = {}
        add(counters, self._before)
        add(counters, counters_of(self._counts))
        return Snapshot(self.process, os.getpid(), self._started_s, resident_bytes(), counters, dict(self.gauges()))

    def publish(self) -> Snapshot:
        """Write a snapshot for the other processes, and return it."""
        own = self.snapshot()
        if self._page is not None and not self._page.write(self._region, own.to_bytes()) and not self._was_too_long:
            self._was_too_long = True
            logger.error("the metrics of this process are too long for the others to read")
        return own

    def all(self) -> list[Snapshot]:
        """Return the snapshots of all processes of the service, this one's as of now, the others' half a second old."""
        own = self.publish()
        if self._page is None:
            return [own]
        others = [Snapshot.of(data) for region, data in self._page.read_all() if region != self._region]
        return sorted([own, *others], key=lambda each: each.process)

    async def publish_soon(self) -> None:
        """Write a snapshot, as a background task."""
        self.publish()

    async def sample(self) -> None:
        """Record the metrics of the service for `window`."""
        self.window.add(time.monotonic(), merged(self.all()))


def gauge_names() -> list[str]:
    """Return the gauges that each process has and that are summed, which `gauges` must return."""
    return [metric.name for metric in METRICS if metric.kind == "gauge" and metric.is_summed]
