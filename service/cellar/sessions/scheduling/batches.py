"""Has batches run: works of one turn of the event loop share one, which runs when another group may be committed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.execution.micro_batcher import MicroBatcher
from cellar.sessions.requests.group_commit import GroupCommit

logger = logging.getLogger(__name__)


class Batches:
    """The batches of all models. `commit` gets the works that have ended, and the error of their batch if it failed."""

    def __init__(
        self, group_commit: GroupCommit, commit: Callable[[Sequence[BatchItem], Exception | None], None]
    ) -> None:
        self._group_commit = group_commit
        self._commit = commit

    def add(self, batcher: MicroBatcher, work: BatchItem, *, again: bool) -> None:
        """Have the work run in the next batch, after this call has returned."""
        batcher.add(work, again=again)
        if not batcher.is_claimed:  # works of the same turn of the event loop share the batch
            batcher.is_claimed = True
            asyncio.get_running_loop().call_soon(self._release, batcher)
        elif batcher.asks:
            self._group_commit.more(again=again)

    def _release(self, batcher: MicroBatcher) -> None:
        """Run a batch as soon as another group may be committed."""
        batcher.asks = True
        most = self._group_commit.ask(batcher.waiting, batcher.again, partial(self._run, batcher))
        if most:
            self._group_commit.took(self._run(batcher, most))

    def _run(self, batcher: MicroBatcher, most: int) -> int:
        """Run up to `most` works, here or on a thread. Return how many."""
        batcher.asks = False
        begun, works, failure = batcher.start(most, partial(self._end, batcher))
        if works is not None:
            self._end(batcher, works, failure)
        return begun

    def _end(self, batcher: MicroBatcher, works: Sequence[BatchItem], failure: Exception | None) -> None:
        """Commit the works of a batch that have ended, and have the next batch run."""
        try:
            self._commit(batcher.keep_unfinished(works, failure), failure)
        except Exception:
            logger.exception("%d works that had run were not taken", len(works))
        finally:
            batcher.is_claimed = batcher.waiting > 0
            if batcher.is_claimed:
                asyncio.get_running_loop().call_soon(self._release, batcher)
