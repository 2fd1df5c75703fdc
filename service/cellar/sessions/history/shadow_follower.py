"""Follows the shadows of sessions that are stepped in this process, from the commits themselves.

A commit of a session with a shadow is noted when it has been applied. Every second the notes of all sessions are
followed together: shadows with one network share a kernel call, and all new shadows are stored in one group of
compare-and-sets, so each change counts once. The session's own outputs are those of the commits. Nothing is read for
a shadow that is known here. Notes are hints: whatever does not fit together is followed from the log, and so is what a
process had noted that was killed.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from cellar.errors import CellarError, StoreUnavailable
from cellar.ports import Commit, Floats, SessionKey, Shadow, ShadowStore, split_scores
from cellar.sessions.execution.kernel_batch import CALL_ROW_STEPS, CHUNK_STEPS, stack_chunks
from cellar.sessions.history.log_replay import LAST
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Model

logger = logging.getLogger(__name__)

NOTED_BYTES = 64 * 1024 * 1024
"""Most memory for commits that are noted; further ones are read from the log."""

AT_ONCE = 128
"""Shadows in one kernel call and one group of writes."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A shadow, the noted commits of its session that it has not run, and its model."""

    key: SessionKey
    shadow: Shadow
    commits: Sequence[Commit]
    model: Model
    inputs: Floats
    """(T, rows, in_size)"""


class ShadowFollower:
    """Notes commits, and follows them. Runs on the event loop."""

    def __init__(self, sessions: Sessions, shadows: ShadowStore) -> None:
        self._sessions = sessions
        self._shadows = shadows
        self._known: set[SessionKey] = set()
        """The sessions that have a shadow, as far as this process knows."""
        self._noted: dict[SessionKey, list[Commit]] = {}
        self._bytes = 0
        self._unread: set[SessionKey] = set()
        """The sessions that must be followed from their logs."""
        self._recent: dict[SessionKey, Shadow] = {}
        """The shadows that were stored in the last turn."""
        self._version: tuple[bytes | None] | None = None
        """The version of the names that were read last."""

    def note(self, commit: Commit) -> None:
        """Note a commit that was applied, of a session with a log."""
        key = commit.before.key
        if key not in self._known:
            return
        self._bytes += len(commit.state) + sum(len(change.inputs) + len(change.output) for change in commit.changes)
        if self._bytes > NOTED_BYTES:
            self._noted.pop(key, None)
            self._unread.add(key)
        else:
            self._noted.setdefault(key, []).append(commit)

    def watch(self, key: SessionKey) -> None:
        """Follow a session that has just got a shadow."""
        self._known.add(key)
        self._unread.add(key)  # it may have been stepped since

    async def refresh(self, tenants: Iterable[str]) -> None:
        """Read which sessions have a shadow, if that has changed. Raise StoreUnavailable."""
        version = await self._shadows.version()
        if self._version == (version,):
            return
        names = set[SessionKey]().union(*[await self._shadows.names(tenant) for tenant in tenants])
        new = names - self._known
        self._known |= names
        self._unread.update(await self._shadows.among(sorted(new)))
        self._version = (version,)

    async def turn(self) -> set[SessionKey]:
        """Follow what is noted; return the sessions that must be followed from their logs. Raise StoreUnavailable."""
        noted, self._noted, self._bytes = self._noted, {}, 0
        unread, self._unread = self._unread, set()
        noted = {key: commits for key, commits in noted.items() if key not in unread}
        recent, self._recent = self._recent, {}
        keys = list(noted)
        try:
            for begin in range(0, len(keys), AT_ONCE):
                some = keys[begin : begin + AT_ONCE]
                unread |= await self._follow({key: noted[key] for key in some}, recent)
        except BaseException:
            self._unread |= unread | noted.keys()
            raise
        return unread

    async def _follow(self, noted: dict[SessionKey, list[Commit]], recent: dict[SessionKey, Shadow]) -> set[SessionKey]:
        """Follow some sessions; return those that must be followed from their logs."""
        unread: set[SessionKey] = set()
        absent = [key for key in noted if key not in recent]
        shadows = {key: recent[key] for key in noted if key in recent}
        shadows |= await self._shadows.load_all(absent) if absent else {}
        self._known -= noted.keys() - shadows.keys()
        models: dict[tuple[str, str], Model | None] = {}
        calls: dict[int, list[Followed]] = {}
        for key, shadow in shadows.items():
            if all(commit.after.revision <= shadow.revision for commit in noted[key]):
                continue
            work = await self._work(key, shadow, noted[key], models)
            if work is None:
                unread.add(key)
            else:
                calls.setdefault(id(work.model.network), []).append(work)
        pairs: list[tuple[SessionKey, Shadow, Shadow]] = []
        for call in calls.values():
            for part in _parts(call):
                found = await self._run(part)
                unread |= {work.key for work, after in zip(part, found, strict=True) if after is None}
                pairs += [(w.key, w.shadow, after) for w, after in zip(part, found, strict=True) if after is not None]
        for (key, *_), stored in zip(pairs, await self._shadows.save_all(pairs) if pairs else (), strict=True):
            if stored is None:  # another process has run it, or it was deleted
                unread.add(key)
            else:
                self._recent[key] = stored
        return unread

    async def _model(self, tenant: str, ref: str, models: dict[tuple[str, str], Model | None]) -> Model | None:
        """Return a version, None if there is none, from `models` if it is there. Raise StoreUnavailable."""
        if (tenant, ref) not in models:
            try:
                models[tenant, ref] = await self._sessions.models.resolve(tenant, ref)
            except StoreUnavailable:
                raise
            except CellarError:
                models[tenant, ref] = None
        return models[tenant, ref]

    async def _work(
        self, key: SessionKey, shadow: Shadow, noted: Sequence[Commit], models: dict[tuple[str, str], Model | None]
    ) -> Followed | None:
        """Return the work for a shadow, None if the log must be read."""
        commits = [commit for commit in noted if commit.before.revision >= shadow.revision]
        if not all(_fits(shadow, commit) for commit in commits) or not _are_consecutive(shadow, commits):
            return None
        model = await self._model(key.tenant, shadow.model, models)
        if model is None:
            return None
        network = model.network.network
        rows, size = commits[0].before.meta.batch_size, network.in_size
        given = b"".join([change.inputs for commit in commits for change in commit.changes])
        steps = sum(change.steps for commit in commits for change in commit.changes)
        fits = model.version.digest == shadow.model_digest and not network.whole_sequences
        if not fits or steps > CHUNK_STEPS or len(given) != 4 * steps * rows * size:
            return None
        inputs = np.frombuffer(given, "<f4").reshape(steps, rows, size)
        try:
            network.check_inputs(inputs)
        except CellarError:
            return None
        return Followed(key, shadow, commits, model, inputs)

    async def _run(self, works: Sequence[Followed]) -> Sequence[Shadow | None]:
        """Run shadows of one network in one kernel call, on a kernel thread."""
        loop = asyncio.get_running_loop()
        kernels = self._sessions.kernels
        return await loop.run_in_executor(kernels, _run_together, works, kernels)


def _fits(shadow: Shadow, commit: Commit) -> bool:
    """Return whether a commit has nothing but steps of all rows, of the session and the version that were followed."""
    meta = commit.before.meta
    followed = (shadow.incarnation, shadow.own_digest) == (meta.incarnation, meta.model_digest)
    if not followed or shadow.stopped is not None or meta.deleted is not None:
        return False
    if commit.meta is not None and commit.meta.model_digest != meta.model_digest:
        return False
    return all(change.steps and change.output and not change.row_flags for change in commit.changes)


def _are_consecutive(shadow: Shadow, commits: Sequence[Commit]) -> bool:
    revision = shadow.revision
    for commit in commits:
        if commit.before.revision != revision:
            return False
        revision = commit.after.revision
    return True


def _parts(works: Sequence[Followed]) -> Iterator[Sequence[Followed]]:
    """Yield works of similar length that fit into one call."""
    part: list[Followed] = []
    rows = 0
    for work in sorted(works, key=lambda work: len(work.inputs)):
        rows += work.inputs.shape[1]
        if part and rows * len(work.inputs) > CALL_ROW_STEPS:
            yield part
            part, rows = [], work.inputs.shape[1]
        part.append(work)
    yield part


def _run_together(works: Sequence[Followed], kernels: Executor) -> Sequence[Shadow | None]:
    """Return each shadow after its steps; None if a number is not finite, for which the log is read."""
    inputs, lengths = stack_chunks([work.inputs for work in works])
    states = tuple([work.shadow.state for work in works])
    run = works[0].model.network.run(inputs, states, lengths, executor=kernels)
    found, row = list[Shadow | None](), 0
    for work in works:
        end = row + work.inputs.shape[1]
        is_bad = run.bad_step is not None and (run.bad_step[row:end] >= 0).any()
        outputs = run.outputs[: len(work.inputs), row:end]
        found.append(None if is_bad else _after(work, outputs, run.state[row:end].tobytes()))
        row = end
    return found


def _after(work: Followed, outputs: Floats, state: bytes) -> Shadow | None:
    """Return the shadow after steps with these outputs (T, rows, out_size)."""
    changes = [change for commit in work.commits for change in commit.changes]
    own = np.frombuffer(b"".join([split_scores(change.output)[0] for change in changes]), "<f4")
    if own.size != outputs.size:
        return None
    apart = np.abs(own.reshape(outputs.shape).astype(np.float64) - outputs)
    largest = apart.reshape(len(outputs), -1).max(axis=1, initial=0.0).tolist()
    ends = np.cumsum([change.steps for change in changes]).tolist()
    of_changes = [max(largest[end - change.steps : end]) for change, end in zip(changes, ends, strict=True)]
    last, shadow = work.commits[-1], work.shadow
    newest = [(str(change.after), each) for change, each in zip(changes[-LAST:], of_changes[-LAST:], strict=True)]
    return replace(
        shadow,
        revision=last.after.revision,
        position=newest[-1][0],
        state=state,
        own_state=last.state,
        steps=shadow.steps + len(outputs),
        numbers=shadow.numbers + outputs.size,
        largest=max(shadow.largest, *of_changes),
        total=shadow.total + float(apart.sum()),
        last=(*shadow.last, *newest)[-LAST:],
    )
