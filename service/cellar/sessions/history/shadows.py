"""Shadows: runs a second version on the inputs of a session in the background, and measures how its outputs differ.

A shadow follows its session with a delay: no step waits for it, and no answer depends on it. Each process follows the
sessions that it steps (`shadow_follower`). What was not followed so, because a process was killed or several stepped
one session, is read from the log, where the outputs of the session are computed again, with the same bits. Progress and
results are stored in one compare-and-set, so each change counts once. Changes that were dropped from the log before the
shadow ran them are counted as missed.
"""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cellar.errors import (
    CellarError,
    Gone,
    ModelDeleted,
    ModelUnknown,
    NotFound,
    NotKept,
    ShadowUnknown,
    StoreUnavailable,
)
from cellar.ports import (
    Clock,
    HistoryStore,
    LogEntry,
    ModelUses,
    SessionKey,
    SessionRecord,
    SessionStore,
    Shadow,
    ShadowStore,
)
from cellar.sessions.execution.recompute import Recompute
from cellar.sessions.history.log_replay import CHANGES_MODEL, LAST, Difference, Differences, LogReplay, compare
from cellar.sessions.history.model_compatibility import check_outputs, load_compatible, same_states
from cellar.sessions.history.shadow_follower import ShadowFollower
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import model_deleted
from cellar.sessions.values.model_protocol import Model
from cellar.wire.arrays import state as state_bytes

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""Seconds between two turns in which a process follows the sessions that it has stepped."""

POLL_S = 300.0
"""Seconds between two searches of one process for shadows that no process has followed, two commands for each shadow.

A process searches when it starts too, so this finds only those of a process that was killed and not started again.
"""

PAGE = 256
"""Changes that a shadow runs between two writes of its progress."""


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """A shadow, and the number of changes of the session that it has not run yet."""

    shadow: Shadow
    behind: int


class Shadows:
    """Creates, runs, reads and deletes shadows. Every method raises as those of `Sessions`."""

    def __init__(
        self,
        sessions: Sessions,
        store: SessionStore,
        history: HistoryStore,
        shadows: ShadowStore,
        uses: ModelUses,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._shadows = shadows
        self._uses = uses
        self._clock = clock
        self._follower = ShadowFollower(sessions, shadows)
        sessions.call_with_logged(self._follower.note)

    async def put(self, key: SessionKey, ref: str) -> ShadowAnswer:
        """Create a shadow with a version; if the session has a running shadow with this version, return that.

        It begins with the state of the session if the version has the same states, otherwise with the initial state.
        Raise NotKept if the session has no log, or ModelUnfit.
        """
        record = await self._store.load(key)
        if record.meta.deleted is not None:
            raise model_deleted(record.meta.model)
        if not record.meta.log:
            raise NotKept("the session has no log, which a shadow needs: create it with `log`")
        own, model = await load_compatible(self._sessions, record, ref, learns=False)
        check_outputs(own, model)
        record = await self._sessions.recover(record)
        there = await self._shadows.load(key)
        if there is not None and _is_running(there, record, model):
            return ShadowAnswer(there, record.revision - there.revision)
        initial = state_bytes.dump(model.network.initial_state(record.meta.batch_size))
        shadow = Shadow(
            incarnation=record.meta.incarnation,
            model=model.version.ref,
            model_digest=model.version.digest,
            own_model=own.version.ref,
            own_digest=own.version.digest,
            began=str(record.position),
            began_s=self._clock.now_s(),
            revision=record.revision,
            position=str(record.position),
            state=record.state if same_states(own.network, model) else initial,
            own_state=record.state,
        )
        await self._uses.enlist(key, shadow.model)
        await self._shadows.put(key, shadow)
        if not await self._uses.confirm(key, shadow.model, runs=False):
            await self._shadows.delete(key)
            raise ModelUnknown(f"the model {shadow.model} was deleted while the shadow was created")
        self._follower.watch(key)
        return ShadowAnswer(shadow, 0)

    async def get(self, key: SessionKey) -> ShadowAnswer:
        """Return the shadow of a session. Raise ShadowUnknown."""
        record = await self._store.load(key)
        shadow = await self._shadows.load(key)
        if shadow is None or shadow.incarnation != record.meta.incarnation:
            raise ShadowUnknown("the session has no shadow")
        return ShadowAnswer(shadow, max(0, record.revision - shadow.revision))

    async def delete(self, key: SessionKey) -> None:
        """End the shadow of a session. Raise ShadowUnknown."""
        await self._store.summary(key)
        if not await self._shadows.delete(key):
            raise ShadowUnknown("the session has no shadow")

    async def run(self, tenants: Iterable[str]) -> None:
        """Run the shadows of the sessions that this process has stepped. Raise StoreUnavailable."""
        await self._follower.refresh(tenants)
        await self._follow_logs(sorted(await self._follower.turn()))

    async def poll(self, tenants: Iterable[str]) -> None:
        """Run all shadows that are behind, unless another process has looked for them. Raise StoreUnavailable."""
        if await self._shadows.take_turn(POLL_S):
            for tenant in tenants:
                await self.follow_all(tenant)

    async def follow_all(self, tenant: str) -> None:
        """Run all shadows of a tenant up to the present of their sessions. Raise StoreUnavailable."""
        await self._follow_logs(await self._shadows.behind(tenant))

    async def _follow_logs(self, keys: Sequence[SessionKey]) -> None:
        for key in keys:
            try:
                await self.follow(key)
            except StoreUnavailable:
                raise
            except Exception:  # a fault of one session does not stop the shadows of others
                logger.exception("the shadow of session %s cannot follow it", key.session)

    async def follow(self, key: SessionKey) -> None:
        """Run the shadow of a session up to the present of the session."""
        shadow = await self._shadows.load(key)
        try:
            record = await self._store.load(key)
        except (NotFound, Gone):
            return
        if shadow is None:
            return
        if shadow.incarnation != record.meta.incarnation:
            await self._shadows.delete(key)
            return
        while shadow.stopped is None and shadow.revision < record.revision:
            after = await self._follow(record, shadow)
            saved = await self._shadows.save(key, shadow, after)
            again = await self._shadows.load(key)
            if again is None or (not saved and again.seal == shadow.seal):
                return  # it was deleted, or its session was
            shadow = again  # if it was not saved, another process has run it

    async def _follow(self, record: SessionRecord, shadow: Shadow) -> Shadow:
        """Return the shadow after the next page of the log, or after the changes that the log has dropped."""
        page = await self._history.log(
            record.key, shadow.incarnation, shadow.revision, most=PAGE, until=record.revision
        )
        try:
            if not page or page[0].revision != shadow.revision + 1:
                return _skip_lost(await self._sessions.recover(record), shadow)
            return await self._run_page(record, shadow, page)
        except StoreUnavailable:
            raise
        except CellarError as error:
            return replace(shadow, stopped=f"{error.slug}: {error.detail}")

    async def _run_page(self, record: SessionRecord, shadow: Shadow, page: Sequence[LogEntry]) -> Shadow:
        learning = record.meta.learning
        own_model = await self._model(record, shadow.own_model, shadow.own_digest, learning)
        own = self._replay(record, shadow, own_model, shadow.own_state)
        model = await self._model(record, shadow.model, shadow.model_digest)
        other = self._replay(record, shadow, model, shadow.state)
        last = deque((Difference(position, largest) for position, largest in shadow.last), maxlen=LAST)
        found = Differences(shadow.steps, shadow.numbers, shadow.largest, shadow.total, last)
        for entry in page:
            if entry.kind in CHANGES_MODEL and entry.state is not None:
                model = own.model if entry.model is None else await self._model(record, entry.model, learning=learning)
                check_outputs(model, other.model)
                own = self._replay(record, shadow, model, entry.state)
                await other.run(entry)
            else:
                await compare(entry, own, other, found)
        return replace(
            shadow,
            own_model=own.model.version.ref,
            own_digest=own.model.version.digest,
            revision=page[-1].revision,
            position=str(page[-1].after),
            state=other.recompute.state,
            own_state=own.recompute.state,
            steps=found.steps,
            numbers=found.numbers,
            largest=found.largest,
            total=found.total,
            last=tuple((each.after, each.largest) for each in found.last),
        )

    async def _model(self, record: SessionRecord, ref: str, digest: str | None = None, learning: str = "") -> Model:
        try:
            model = await self._sessions.models.resolve(record.key.tenant, ref, learning)
        except ModelUnknown as error:
            raise ModelDeleted(f"the model {ref} was deleted") from error
        if digest not in (None, model.version.digest):
            raise ModelDeleted(f"the model {ref} was deleted")
        return model

    def _replay(self, record: SessionRecord, shadow: Shadow, model: Model, state: bytes) -> LogReplay:
        rows = record.meta.batch_size
        recompute = Recompute(model.network, state, rows, self._sessions.kernels)
        return LogReplay(model, recompute, rows, shadow.incarnation, shadow.revision, record.position, record.position)


def _is_running(shadow: Shadow, record: SessionRecord, model: Model) -> bool:
    """Return whether a shadow belongs to this session and version, and has not stopped."""
    same = (shadow.incarnation, shadow.model_digest) == (record.meta.incarnation, model.version.digest)
    return same and shadow.stopped is None


def _skip_lost(record: SessionRecord, shadow: Shadow) -> Shadow:
    """Return the shadow at the present of the session, with the changes in between counted as missed."""
    return replace(
        shadow,
        own_model=record.meta.model,
        own_digest=record.meta.model_digest,
        revision=record.revision,
        position=str(record.position),
        own_state=record.state,
        missed=shadow.missed + record.revision - shadow.revision,
    )
