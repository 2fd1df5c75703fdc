"""Sends groups of commits to Redis and reports the result of each commit.

The reply to nearly every commit is an integer. Its result is then made and reported in the callback that read the
reply: a task and a future for each group would cost more than the commits of a small one. Commits with any other
outcome are finished in a task, which starts from the replies that have come.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

from cellar.errors import CellarError, StoreCorrupt, StoreUnavailable
from cellar.ports import Commit, CommitCallback, CommitResult
from cellar.store.connection.retry import CommandOutcome, RetryingClient
from cellar.store.connection.router import CommandReplies, Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import lost
from cellar.store.protocol.resp import Reply, ReplyError, pack
from cellar.store.sessions.commits.command import CommitEncoder
from cellar.store.sessions.commits.fast_path import FastCommitEncoder
from cellar.store.sessions.commits.result import APPLIED, result_of
from cellar.store.topology.replication import Replicas

logger = logging.getLogger(__name__)


class CommitPipeline:
    """Sends groups of commits in the order in which they come, and reports their results."""

    def __init__(
        self,
        router: Router,
        client: RetryingClient,
        keys: SessionKeys,
        encoder: CommitEncoder,
        fast: FastCommitEncoder,
        replicas: Replicas | None,
    ) -> None:
        self._router = router
        self._client = client
        self._keys = keys
        self._encoder = encoder
        self._fast = fast
        self._replicas = replicas
        self._retries: set[asyncio.Task[Sequence[CommitResult]]] = set()

    def post(self, commits: Sequence[Commit], done: CommitCallback) -> None:
        """Begin to apply a group of commits; see `SessionStore.post`.

        A commit whose reply is lost is sent again, byte for byte, and is recognised if it was applied the first time.
        If the outcome stays unknown, the result is StoreUnavailable with outcome `unknown`. With strict durability it
        is StoreUnavailable with outcome `applied_not_durable` if too few replicas have the commit.
        """
        group = _CommitGroup(self, commits, done)
        if self._replicas is None:
            return self._post_packed(group)
        for part in self._router.parts(len(commits), group.key):
            self._spawn(group, part, self._durable([commits[index] for index in part], self._replicas))
        return None

    def _post_packed(self, group: "_CommitGroup") -> None:
        encode, call = self._fast.encode, self._encoder.call
        try:
            packed = [encode(commit) or pack([call(commit)]) for commit in group.commits]
        except Exception:
            return self._post_one_by_one(group)
        return self._router.post(packed, group.key, group.on_replies)

    def _post_one_by_one(self, group: "_CommitGroup") -> None:
        """Send each commit that can be packed by itself, and end the others with an error."""
        for index, commit in enumerate(group.commits):
            try:
                packed = self._fast.encode(commit) or pack([self._encoder.call(commit)])
            except Exception:
                logger.exception("a commit of session %s could not be written", commit.before.key.session)
                error = StoreCorrupt("the commit could not be written: the fault is in the log of the service")
                asyncio.get_running_loop().call_soon(group.end, [index], [error])
                continue
            one = _CommitGroup(self, [commit], partial(_end_one, group, index))
            self._router.post([packed], one.key, one.on_replies)

    def key(self, commit: Commit) -> bytes:
        """Return the key that decides which server a commit goes to."""
        return self._keys.record(commit.before.key)

    def retry(self, group: "_CommitGroup", part: Sequence[int], replies: CommandReplies) -> None:
        """Send some commits of a group until they are answered. `replies` are those that have come."""
        commits = [group.commits[index] for index in part]
        self._spawn(group, part, self._execute(commits, replies, group.began_s))

    async def aclose(self) -> None:
        """End the commits under way, with an unknown outcome."""
        for task in self._retries:
            task.cancel()
        if self._retries:
            await asyncio.wait(self._retries)

    async def _execute(
        self, commits: Sequence[Commit], replies: CommandReplies, began_s: float
    ) -> Sequence[CommitResult]:
        calls = [self._encoder.call(commit) for commit in commits]
        answers = await self._client.execute(calls, together=True, replies=replies, began_s=began_s)
        return [result_of(*each) for each in zip(commits, answers, strict=True)]

    async def _durable(self, commits: Sequence[Commit], replicas: Replicas) -> Sequence[CommitResult]:
        calls = [self._encoder.call(commit) for commit in commits]
        answers = await self._client.execute(calls, wait=replicas.wait, together=True)
        results = [result_of(*each) for each in zip(commits, answers, strict=True)]
        keys = [commit.before.key for commit in commits]
        # a WAIT covers only what its own connection has written, and so no commit that had been applied before
        copies = [answer.copies if isinstance(answer.reply, int) else None for answer in answers]
        return await replicas.confirmed(keys, results, copies)

    def _spawn(
        self, group: "_CommitGroup", part: Sequence[int], way: Coroutine[Any, Any, Sequence[CommitResult]]
    ) -> None:
        task = asyncio.create_task(way)
        self._retries.add(task)
        task.add_done_callback(partial(self._on_done, group, part))

    def _on_done(self, group: "_CommitGroup", part: Sequence[int], task: asyncio.Task[Sequence[CommitResult]]) -> None:
        self._retries.discard(task)
        if not task.cancelled() and task.exception() is None:
            return group.end(part, task.result())
        if not task.cancelled():  # a fault of this code: its callers still get a result
            logger.error("a group of %d commits was not understood", len(part), exc_info=task.exception())
        return group.end(part, [lost("unknown")] * len(part))


class _CommitGroup:
    """Commits under way. Each of them ends exactly once."""

    __slots__ = ("_done", "_pipeline", "began_s", "commits")

    def __init__(self, pipeline: CommitPipeline, commits: Sequence[Commit], done: CommitCallback) -> None:
        self._pipeline = pipeline
        self._done = done
        self.commits = commits
        self.began_s = monotonic()

    def key(self, index: int) -> bytes:
        """Return the key that decides which server a commit goes to."""
        return self._pipeline.key(self.commits[index])

    def on_replies(self, part: Sequence[int], replies: Sequence[Reply | StoreUnavailable]) -> None:
        """Take the replies to some of the commits; see `ReplyCallback`."""
        if replies.count(0) == len(part):  # nearly always
            return self.end(part, [APPLIED] * len(part))
        try:
            return self._sort(part, replies)
        except Exception:  # a fault of this code: its callers still get a result
            logger.exception("the replies to %d commits were not understood", len(part))
            return self.end(part, [lost("unknown")] * len(part))

    def _sort(self, part: Sequence[int], replies: Sequence[Reply | StoreUnavailable]) -> None:
        """End the commits that have an answer, and retry those that have none."""
        answered: list[int] = []
        results: list[CommitResult] = []
        failed: list[int] = []
        failures: list[Reply | StoreUnavailable] = []
        for index, reply in zip(part, replies, strict=True):
            if isinstance(reply, ReplyError | CellarError):
                failed.append(index)
                failures.append(reply)
            else:
                answered.append(index)
                results.append(result_of(self.commits[index], CommandOutcome(reply, resent=False)))
        if failed:  # first, because the callers of the others may post more commits
            self._pipeline.retry(self, failed, CommandReplies(failures))
        if answered:
            self.end(answered, results)
        return

    def end(self, part: Sequence[int], results: Sequence[CommitResult]) -> None:
        """Report the results of some of the commits."""
        try:
            self._done(part, results)
        except Exception:  # must not break the connection that called this
            logger.exception("the results of a group of %d commits were not taken", len(results))


def _end_one(group: _CommitGroup, index: int, _part: Sequence[int], results: Sequence[CommitResult]) -> None:
    """Report the result of a commit that was sent by itself under its number in the group."""
    group.end([index], results)
