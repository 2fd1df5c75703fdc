"""Other versions for a session: its logged inputs run on one of them, and the session itself moved to it."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from cellar.errors import AlreadyExists, Conflict, ModelUnfit
from cellar.ports import (
    Clock,
    Committed,
    HistoryStore,
    Identity,
    LogEntry,
    ModelUses,
    Position,
    SessionKey,
    SessionRecord,
    SessionStore,
)
from cellar.sessions.history.history import entries
from cellar.sessions.history.log_replay import LogReplay, beginning, course_from
from cellar.sessions.history.model_compatibility import carries, check_outputs, fitting, unfit
from cellar.sessions.history.output_diff import Differences, compare
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.requests.request import Edited, Stale
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import known_of, model_deleted
from cellar.sessions.values.model_protocol import Model, Network
from cellar.sessions.values.position import EPOCH_BYTES, fingerprint, start_of
from cellar.sessions.values.results import ChangeAnswer
from cellar.sessions.values.state_layout import layout_of

How = Literal["carry", "replay", "auto"]


@dataclass(frozen=True, slots=True)
class ReplayAnswer:
    """What a replay has come to."""

    model: str
    began: Position
    """Where the session was when the course began, and"""
    ended: Position
    """where it was at the end of its log."""
    steps: int
    session: SessionKey | None
    """The session that was made of it, or"""
    differences: Differences | None
    """how the outputs of the two versions differ."""


class Replays:
    """Runs logs on other versions. Raises as `Sessions`, NotKept, OutOfReach, ModelUnfit and what steps raise."""

    def __init__(
        self,
        sessions: Sessions,
        store: SessionStore,
        history: HistoryStore,
        uses: ModelUses,
        clock: Clock,
        *,
        kernel_rev: int,
        places: ConcurrencyLimit | None = None,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._uses = uses
        self._clock = clock
        self._kernel_rev = kernel_rev
        self._places = places or ConcurrencyLimit()

    async def replay(
        self, key: SessionKey, ref: str, *, since: Position | None = None, session: str | None = None
    ) -> ReplayAnswer:
        """Run the log of a session on a version, from `since` or the last state that was given, up to its end.

        What comes of it is a new session of that name, or else how the outputs differ from those of the session's own
        version. The same request again answers the same session, while the log is no longer. Raise AlreadyExists.
        """
        record = await self._store.load(key)
        own, model = await fitting(self._sessions, record, ref)
        async with self._places.take():
            first = await beginning(self._history, record, since)
            course = course_from(first, record, model, self._sessions.kernels)
            differences = None
            if session is None:
                check_outputs(own, model)
                differences = await self._compare(record, first, own, course)
            else:
                await self._run(record, course)
        made = None if session is None else await self._make(record, course, session)
        return ReplayAnswer(model.version.ref, course.began, course.place, course.steps, made, differences)

    async def _compare(self, record: SessionRecord, first: LogEntry, own: Model, course: LogReplay) -> Differences:
        """Run the log on the session's own version too, and return how the outputs differ."""
        other, differences = course_from(first, record, own, self._sessions.kernels), Differences()
        async for entry in entries(self._history, record, course.revision):
            await compare(entry, other, course, differences)
        return differences

    async def _run(self, record: SessionRecord, course: LogReplay) -> None:
        """Run the rest of the log up to where the session stands."""
        async for entry in entries(self._history, record, course.revision):
            await course.go_through(entry)

    async def migrate(self, key: SessionKey, ref: str, how: How, identity: Identity) -> ChangeAnswer:
        """Let the session go on with another version: step 0 of a new epoch.

        `carry` takes the state as it is, which needs the same layers, states and sizes; `replay` runs the log; `auto`
        does what can be done, the first before the second. The session is then of this service's kernel revision.
        """
        mark = fingerprint("migrate", names=f"{ref} {how}")
        found = await self._store.find(key, identity, mark)
        if isinstance(found, Committed):
            return ChangeAnswer(found.position, replayed=True)
        course: LogReplay | None = None
        model: Model | None = None

        async def prepare(record: SessionRecord, network: Network) -> Edited:
            nonlocal course, model
            _, model = await fitting(self._sessions, record, ref)
            await self._uses.enlist(key, model.version.ref)
            if carries(network, model) and how != "replay":
                return self._edited(record, model, record.state)
            if how == "carry":
                raise unfit(model, "states", layout_of(network.network), layout_of(model.network.network))
            try:
                course = await self._catch_up(record, model, course)
            except Conflict as error:
                if how == "auto":
                    raise ModelUnfit(
                        f"its states are others than those of {model.version.ref}; {error.detail}"
                    ) from error
                raise
            return self._edited(record, model, course.rerun.state)

        own, target = await fitting(self._sessions, found, ref)
        runs = how == "replay" or (how == "auto" and not carries(own.network, target))
        # The place is taken before the session has to wait: its steps go on meanwhile. What the log has to tell by then
        # is run before as well, so that the session only waits for the rest.
        async with self._places.take() if runs else nullcontext():
            try:
                await prepare(found, own.network)
            except Stale:
                course = None
            done = await self._sessions.change_after(
                key, "migrate", identity, mark, prepare, any_revision=True, any_model=True
            )
        assert model is not None
        if not (done.replayed or await self._uses.confirm(key, model.version.ref)):
            await self._uses.fence_one(key, model.version.ref, known_of(model.network.network))
            raise model_deleted(model.version.ref)
        return done

    async def _catch_up(self, record: SessionRecord, model: Model, course: LogReplay | None) -> LogReplay:
        """Return the course of a version up to where the session stands."""
        if course is None or course.incarnation != record.meta.incarnation or course.model.version != model.version:
            first = await beginning(self._history, record)
            course = course_from(first, record, model, self._sessions.kernels)
        if course.revision > record.revision:
            raise Stale
        await self._run(record, course)
        return course

    def _edited(self, record: SessionRecord, model: Model, state: bytes) -> Edited:
        version = model.version
        meta = replace(
            record.meta,
            model=version.ref,
            model_digest=version.digest,
            kernel_rev=self._kernel_rev,
            migrated=record.revision + 1,
            deleted=None,
        )
        return Edited(state, meta, layout=layout_of(model.network.network))

    async def _make(self, record: SessionRecord, course: LogReplay, name: str) -> SessionKey:
        """Create the session that a course has come to, if its name is free or it was made before."""
        version = course.model.version
        said = f"{version.digest} {course.began} {course.place} {name}".encode()
        incarnation = blake2b(record.meta.incarnation + said, digest_size=EPOCH_BYTES).digest()
        meta = replace(
            record.meta,
            model=version.ref,
            model_digest=version.digest,
            kernel_rev=self._kernel_rev,
            created_s=self._clock.now_s(),
            incarnation=incarnation,
            pinned=False,
            migrated=0,
            deleted=None,
        )
        key = SessionKey(record.key.tenant, name)
        made = SessionRecord(key, meta, start_of(incarnation), 0, course.rerun.state)
        there = await self._sessions.admit(made, origin="replay")
        if there is not None:
            raise AlreadyExists(f"there is another session {name}, of the model {there.meta.model}")
        return key
