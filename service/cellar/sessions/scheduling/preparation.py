"""Prepares a request: fetches the record of its session or its model, or runs an edit that reads the store.

Each coroutine returns what it has found, with which the lifecycle continues. An error that it raises is the answer.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any

from cellar.errors import CellarError, ModelDeleted
from cellar.metrics.counts import COUNTS
from cellar.ports import Commit, Committed, Identity, SessionKey, SessionRecord, SessionStore
from cellar.sessions.execution.model_cache import LoadedModel, ModelCache
from cellar.sessions.execution.state_recovery import StateRecovery
from cellar.sessions.requests.change_request import ChangeRequest, Stale
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.scheduling.alias_follower import AliasFollower
from cellar.sessions.scheduling.commit_builder import change_commit, check_revision, edit_commit
from cellar.sessions.scheduling.contention import CONTENTION_S, contended
from cellar.sessions.values.deleted_model import DeletedNetwork, model_deleted, state_not_stored
from cellar.sessions.values.model_protocol import Network


class Found:
    """The record of a session with which a request begins again; None if it must be read again."""

    __slots__ = ("record",)

    def __init__(self, record: SessionRecord | None) -> None:
        self.record = record


Prepared = Found | LoadedModel | Commit | Committed | Exception
"""A record to begin with again, the model to run on, the commit of an edit, or the answer."""

Preparing = Coroutine[Any, Any, Prepared]

Then = Callable[[Prepared], None]
"""Continues with the result of a preparation."""

Failed = Callable[[Exception], None]
"""Continues with its error."""


class Preparation:
    """Asks the store and the models for the requests of sessions."""

    def __init__(
        self,
        store: SessionStore,
        models: ModelCache,
        follower: AliasFollower,
        recovery: StateRecovery,
        kernel_rev: int,
    ) -> None:
        self._store = store
        self._models = models
        self._follower = follower
        self._kernel_rev = kernel_rev
        self.tasks = PreparationTasks(store, recovery)

    async def record(self, key: SessionKey, request: Request[Any]) -> Prepared:
        """Return the session's record, read again, or the answer if the same request was committed before."""
        identity = request.identity
        if not identity.ordered:
            return Found(await self._store.load(key))
        found = await self._store.find(key, identity, request.fingerprint)
        return await self._committed(key, request, found) if isinstance(found, Committed) else Found(found)

    def must_follow(self, request: Request[Any], record: SessionRecord) -> bool:
        """Return whether the session may have to move to the version that its alias names, before the request."""
        return not request.any_model and self._follower.may_be_behind(record)

    async def follow(self, record: SessionRecord) -> Prepared:
        """Return the session on the version that its alias names. Raise ModelUnfit."""
        if record.redo:
            check_revision(record.meta, self._kernel_rev)
            raise state_not_stored(record.meta.model)
        return Found(await self._follower.follow(record))

    async def model(self, key: SessionKey, request: Request[Any], record: SessionRecord) -> Prepared:
        """Return the session's model, ready to run. Raise ModelDeleted if it is gone and the request needs it."""
        try:
            return await self._models.fetch(key.tenant, record.meta)
        except ModelDeleted as error:
            return await self._look_again(key, request, record, error)

    async def change(
        self, key: SessionKey, request: ChangeRequest, record: SessionRecord, network: Network
    ) -> Prepared:
        """Return the commit of an edit that has to ask the store first."""
        assert request.prepare is not None
        try:
            edited = await request.prepare(record, network)
        except Stale:
            if monotonic() - request.taken_s > CONTENTION_S:
                raise contended() from None
            return Found(None)
        except ModelDeleted as error:
            return await self._look_again(key, request, record, error)
        return change_commit(record, request, network, edited, self._kernel_rev)

    def change_without_model(self, request: Request[Any], record: SessionRecord) -> tuple[ChangeRequest, Network]:
        """Prepare an edit that needs no model, after the model was deleted. Raise ModelDeleted for other requests."""
        if not (request.any_model and isinstance(request, ChangeRequest)):
            raise model_deleted(record.meta.model)
        return request, DeletedNetwork(record.meta)

    async def answer(self, key: SessionKey, request: Request[Any], error: Exception) -> Prepared:
        """Return the earlier answer to the request's Idempotency-Key. Raise `error` if there is none."""
        try:
            found = await self._store.find(key, Identity(key=request.identity.key), request.fingerprint)
        except CellarError as other:
            return other
        return await self._committed(key, request, found) if isinstance(found, Committed) else error

    async def _committed(self, key: SessionKey, request: Request[Any], found: Committed) -> Committed:
        """Return an earlier answer. Its output is of all rows, so a request of some must know how many there are."""
        if isinstance(request, StepRequest) and request.numbers is not None:
            request.place_rows((await self._store.load(key)).meta.batch_size)
        return found

    async def _look_again(
        self, key: SessionKey, request: Request[Any], record: SessionRecord, error: ModelDeleted
    ) -> Prepared:
        """Load the record again, and return it if the session has left the deleted model or is marked by now.

        Otherwise build the commit of an edit that needs no model, from the stored sizes. Raise `error` for others.
        """
        now = await self._store.load(key)
        if now.meta != record.meta:
            return Found(now)
        if not (request.any_model and isinstance(request, ChangeRequest)):
            raise error
        network = (await self._models.known(key.tenant, now.meta)).network
        if request.prepare is None:
            return edit_commit(now, request, network, self._kernel_rev)
        return await self.change(key, request, now, network)


class PreparationTasks:
    """Awaits preparations, each in a task of its own: that of a caller may be cancelled.

    The records that are found have their present states, unless these cannot be computed.
    """

    def __init__(self, store: SessionStore, recovery: StateRecovery) -> None:
        self._store = store
        self._recovery = recovery
        self._tasks: set[asyncio.Task[None]] = set()
        self._missing: list[tuple[SessionKey, Then, Failed]] = []

    def start(self, way: Preparing, then: Then, failed: Failed) -> None:
        """Call `then` with the result of a preparation, or `failed` with the error of either."""

        async def prepare() -> None:
            """Await the preparation, and pass on its result."""
            try:
                found = await way
                if isinstance(found, Found) and found.record is not None and found.record.redo:
                    found = await self._recover(found.record)
                then(found)
            except Exception as error:
                failed(error)

        self._spawn(prepare())

    def load(self, key: SessionKey, then: Then, failed: Failed) -> None:
        """Call `then` with the record of a session, or `failed` with the error of either.

        All that are asked for in a turn of the event loop are read together.
        """
        if not self._missing:
            asyncio.get_running_loop().call_soon(self._load_missing)
        self._missing.append((key, then, failed))

    def _load_missing(self) -> None:
        asked, self._missing = self._missing, []
        COUNTS.session_loads += len(asked)
        self._spawn(self._load(asked))

    async def _load(self, asked: Sequence[tuple[SessionKey, Then, Failed]]) -> None:
        """Read sessions, and pass on the record of each."""
        try:
            found: Sequence[SessionRecord | Exception] = await self._store.load_all([key for key, *_ in asked])
        except Exception as error:
            found = len(asked) * [error]
        for (_, then, failed), each in zip(asked, found, strict=True):
            try:
                if isinstance(each, SessionRecord) and each.redo:
                    self.start(self._recover(each), then, failed)
                elif isinstance(each, SessionRecord):
                    then(Found(each))
                else:
                    failed(each)
            except Exception as error:  # must not reach the other sessions
                failed(error)

    async def _recover(self, record: SessionRecord) -> Prepared:
        return Found(await self._recovery.recover(record))

    def _spawn(self, way: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(way)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
