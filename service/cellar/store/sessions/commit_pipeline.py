"""Ticks: from commits to what became of them.

Nearly every tick is answered with an integer for each commit. Its results are then made and handed on right where the
connection has read them: a task and a future for each tick cost more than the commits of a small one. Whatever else
comes back goes on in a task, from what is known so far.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

from cellar.errors import CellarError, SessionExpired, SessionUnknown, StoreCorrupt, StoreUnavailable
from cellar.ports import Applied, Change, Commit, CommitResult, Committed, Done, Moved, SessionKey
from cellar.store.connection.retry import Answer, RetryingClient
from cellar.store.connection.router import Replies, Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import lost
from cellar.store.protocol.replies import items, raw
from cellar.store.protocol.resp import Reply, ReplyError, pack
from cellar.store.sessions.commit_command import CommitCalls
from cellar.store.sessions.commit_fast_path import FastCommits
from cellar.store.sessions.deduplication import replay
from cellar.store.sessions.record_codec import Entry, unpack_entry, unpack_keyed, unpack_record
from cellar.store.topology.replication import Replicas

logger = logging.getLogger(__name__)

APPLIED = Applied()
"""Of nearly all commits: nobody asks for the session."""


class CommitPipeline:
    """Sends ticks by a route, in the order in which they come, and tells what became of them."""

    def __init__(
        self,
        route: Router,
        exchange: RetryingClient,
        keys: SessionKeys,
        calls: CommitCalls,
        plain: FastCommits,
        replicas: Replicas | None,
    ) -> None:
        self._route = route
        self._exchange = exchange
        self._keys = keys
        self._calls = calls
        self._plain = plain
        self._replicas = replicas
        self._insisting: set[asyncio.Task[Sequence[CommitResult]]] = set()

    def post(self, commits: Sequence[Commit], done: Done) -> None:
        """Begin to apply the commits; see `SessionStore.post`."""
        tick = _CommitGroup(self, commits, done)
        if self._replicas is None:
            return self._post_packed(tick)
        for part in self._route.parts(len(commits), tick.key):
            self._spawn(tick, part, self._durable([commits[index] for index in part], self._replicas))
        return None

    def _post_packed(self, tick: "_CommitGroup") -> None:
        write, call = self._plain.write, self._calls.call
        try:
            packed = [write(commit) or pack([call(commit)]) for commit in tick.commits]
        except Exception:
            return self._post_some(tick)
        return self._route.post(packed, tick.key, tick.told)

    def _post_some(self, tick: "_CommitGroup") -> None:
        """Send the commits that can be packed, each by itself, and end the others."""
        for index, commit in enumerate(tick.commits):
            try:
                packed = self._plain.write(commit) or pack([self._calls.call(commit)])
            except Exception:
                logger.exception("a commit of session %s could not be written", commit.before.key.session)
                error = StoreCorrupt("the commit could not be written: the fault is in the log of the service")
                asyncio.get_running_loop().call_soon(tick.end, [index], [error])
                continue
            one = _CommitGroup(self, [commit], partial(_as_number, tick, index))
            self._route.post([packed], one.key, one.told)

    def key(self, commit: Commit) -> bytes:
        """Return the key by which a commit finds its server."""
        return self._keys.record(commit.before.key)

    def go_on(self, tick: "_CommitGroup", part: Sequence[int], told: Replies) -> None:
        """Insist on a part of a tick, some of which has no answer yet."""
        commits = [tick.commits[index] for index in part]
        self._spawn(tick, part, self._insist(commits, told, tick.began_s))

    async def aclose(self) -> None:
        """End the commits under way, with an unknown outcome."""
        for task in self._insisting:
            task.cancel()
        if self._insisting:
            await asyncio.wait(self._insisting)

    async def _insist(self, commits: Sequence[Commit], told: Replies, began_s: float) -> Sequence[CommitResult]:
        calls = [self._calls.call(commit) for commit in commits]
        answers = await self._exchange.insist(calls, together=True, told=told, began_s=began_s)
        return [result_of(*each) for each in zip(commits, answers, strict=True)]

    async def _durable(self, commits: Sequence[Commit], replicas: Replicas) -> Sequence[CommitResult]:
        calls = [self._calls.call(commit) for commit in commits]
        answers = await self._exchange.insist(calls, wait=replicas.wait, together=True)
        results = [result_of(*each) for each in zip(commits, answers, strict=True)]
        keys = [commit.before.key for commit in commits]
        # what a connection has not written itself its WAIT does not speak of: a commit that was found to be there
        copies = [answer.copies if isinstance(answer.reply, int) else None for answer in answers]
        return await replicas.confirmed(keys, results, copies)

    def _spawn(
        self, tick: "_CommitGroup", part: Sequence[int], way: Coroutine[Any, Any, Sequence[CommitResult]]
    ) -> None:
        task = asyncio.create_task(way)
        self._insisting.add(task)
        task.add_done_callback(partial(self._ended, tick, part))

    def _ended(self, tick: "_CommitGroup", part: Sequence[int], task: asyncio.Task[Sequence[CommitResult]]) -> None:
        self._insisting.discard(task)
        if not task.cancelled() and task.exception() is None:
            return tick.end(part, task.result())
        if not task.cancelled():  # a fault of our own: whoever waits is told at least that
            logger.error("a tick of %d commits was not understood", len(part), exc_info=task.exception())
        return tick.end(part, [lost("unknown")] * len(part))


class _CommitGroup:
    """Commits under way. Each is ended once, whatever happens."""

    __slots__ = ("_done", "_ticks", "began_s", "commits")

    def __init__(self, ticks: CommitPipeline, commits: Sequence[Commit], done: Done) -> None:
        self._ticks = ticks
        self._done = done
        self.commits = commits
        self.began_s = monotonic()

    def key(self, index: int) -> bytes:
        """Return the key by which a commit finds its server."""
        return self._ticks.key(self.commits[index])

    def told(self, part: Sequence[int], replies: Sequence[Reply | StoreUnavailable] | None) -> None:
        """Take what a route tells of a part; see `Told`."""
        if replies is None:
            return self.end(part, [APPLIED] * len(part))
        try:
            return self._sort(part, replies)
        except Exception:  # a fault of our own: whoever waits is told at least that
            logger.exception("the replies to %d commits were not understood", len(part))
            return self.end(part, [lost("unknown")] * len(part))

    def _sort(self, part: Sequence[int], replies: Sequence[Reply | StoreUnavailable]) -> None:
        """End the commits that have an answer, and go on with those that have none."""
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
                results.append(result_of(self.commits[index], Answer(reply, resent=False)))
        if failed:  # before anybody is told, who may post more
            self._ticks.go_on(self, failed, Replies(failures))
        if answered:
            self.end(answered, results)
        return

    def end(self, part: Sequence[int], results: Sequence[CommitResult]) -> None:
        """Tell who waits of a part."""
        try:
            self._done(part, results)
        except Exception:  # no fault of the connection that has read this
            logger.exception("the results of a tick of %d commits were not taken", len(results))


def result_of(commit: Commit, answer: Answer) -> CommitResult:
    """Return what has become of a commit, given what became of the call of its script."""
    reply = answer.reply
    if type(reply) is int:
        return APPLIED if commit.ask_s or not reply else Applied(reply / 1000)
    if isinstance(reply, CellarError):
        return reply
    try:
        what, *rest = items(reply)
        if what == b"gone":
            return gone(commit.before.key, rest[0])
        if what == b"keyed":
            return _keyed(commit, raw(rest[0]), answer)
        return _moved(commit, rest, answer)
    except CellarError as error:
        return error
    except Exception:  # of a record that another version has written, or that is damaged
        logger.exception("the answer to a commit of session %s was not understood", commit.before.key.session)
        return StoreCorrupt("the store holds a session record that this version of Cellar cannot read")


def _as_number(tick: _CommitGroup, index: int, _part: Sequence[int], results: Sequence[CommitResult]) -> None:
    """Tell of a commit that was sent by itself which one of its tick it is."""
    tick.end([index], results)


def gone(key: SessionKey, tombstone: Reply) -> CellarError:
    """Return the error for a session that is not there, given whether its tombstone is."""
    if tombstone:
        return SessionExpired(f"session {key.session} has expired")
    return SessionUnknown(f"there is no session {key.session}")


def raw_or_none(reply: Reply) -> bytes | None:
    """Return a reply that must be bytes or none. Raise StoreCorrupt."""
    return None if reply is None else raw(reply)


def _keyed(commit: Commit, data: bytes, answer: Answer) -> Applied | Committed:
    change = commit.changes[0]
    found = replay(unpack_keyed(data), change.fingerprint)
    return APPLIED if answer.resent and found.position == change.after else found


def _moved(commit: Commit, rest: Sequence[Reply], answer: Answer) -> CommitResult:
    """Tell a commit that was applied before from one that lost the race.

    Revisions are given out one by one, so the ring entry at a change's revision says whose it was.
    """
    head, meta, state, writers, *slots = rest
    before = commit.before
    record = unpack_record(before.key, raw(head), raw(meta), raw(state), raw_or_none(writers))
    if record.meta.birth == before.meta.birth and record.revision <= before.revision:
        return Moved(record)  # whatever was sent before, it is not in the history that there is now
    entries = [None if slot is None else unpack_entry(raw(slot)) for slot in slots]
    pairs = enumerate(zip(commit.changes, entries, strict=True), before.revision)
    mine = [_is_mine(change, entry, revision) for revision, (change, entry) in pairs]
    first = entries[0]
    if any(found and not change.identity.ordered for change, found in zip(commit.changes, mine, strict=True)):
        return APPLIED  # a nonce at its place: this very commit, which came twice, whoever has doubled it
    if answer.resent and all(mine):
        return APPLIED
    if answer.resent and mine[0] is None:
        return StoreUnavailable("the session moved on before the reply could be recovered", outcome="unknown")
    if first is None or not mine[0]:
        return Moved(record)
    if commit.changes[0].identity.by_step and record.position.epoch != before.position.epoch:
        return Moved(record)  # a step alone means the present epoch, not the one that this process believed in
    return first.answer()


def _is_mine(change: Change, entry: Entry | None, revision: int) -> bool | None:
    """Return whether the entry in its slot is the change's; None if it is of another time."""
    if entry is None or (entry.revision, entry.before) != (revision, change.before):
        return None
    return entry.is_of(change)
