"""Lets a session that follows an alias run on another version: one commit, before the request that found the move.

The position of the session, its state and its writers stay as they are, so a client does not notice the move. The
metadata get the new version, and note from which revision on it runs the session.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

from cellar.errors import InvalidInput, ModelDeleted, ModelUnfit, ModelUnknown
from cellar.ports import (
    APPEND,
    MARK_BYTES,
    UNMARKED,
    Alias,
    Applied,
    Change,
    Commit,
    CommitConflict,
    CommitResult,
    ModelUses,
    SessionRecord,
    SessionStore,
)
from cellar.sessions.execution.aliases import Aliases
from cellar.sessions.execution.model_cache import ModelCache
from cellar.sessions.values.deleted_model import known_of
from cellar.sessions.values.learning import begun_anew, learning_in
from cellar.sessions.values.model_protocol import Model, difference, layout_of


class AliasFollower:
    """Moves sessions to the versions that their aliases name."""

    def __init__(self, store: SessionStore, uses: ModelUses, models: ModelCache, aliases: Aliases) -> None:
        self._store = store
        self._uses = uses
        self._models = models
        self._aliases = aliases

    def may_be_behind(self, record: SessionRecord) -> bool:
        """Return whether the alias that a session follows may name another version than the one that runs it."""
        return record.meta.following is not None and self._aliases.may_be_ahead(record.key.tenant, record.meta)

    async def follow(self, record: SessionRecord) -> SessionRecord | None:
        """Return the session on the version that its alias names now, None if it must be read again.

        Raise ModelUnfit if that version cannot take over the state of the session, CompileFailed or StoreUnavailable.
        """
        tenant = record.key.tenant
        alias = await self._aliases.ahead(tenant, record.meta)
        if alias is None:
            return record
        try:
            model = await self._models.resolve(tenant, alias.ref, record.meta.learning)
        except InvalidInput as error:  # it cannot learn
            detail = f"the session follows {alias.name}@{alias.alias}, which is {alias.ref} now: {error.detail}"
            raise ModelUnfit(detail, expected=error.expected, actual=error.actual) from error
        except ModelUnknown:  # deleted, and the alias with it or before
            await self._aliases.refresh(tenant)
            if await self._aliases.ahead(tenant, record.meta) == alias:
                raise
            return None
        await self._check(record, model, alias)
        return await self._move(record, model, alias)

    async def _check(self, record: SessionRecord, model: Model, alias: Alias) -> None:
        """Raise ModelUnfit unless a version can take over the state of a session."""
        try:
            own = (await self._models.known(record.key.tenant, record.meta)).network.network
        except ModelDeleted:  # and the session is not marked yet
            return
        found = difference(own, model.network.network)
        if found is not None:
            part, mine, its = found
            raise ModelUnfit(
                f"the session follows {alias.name}@{alias.alias}, which is {alias.ref} now and has different {part}"
                f" from {record.meta.model}, which runs the session: migrate the session, or move the alias back",
                expected=mine,
                actual=its,
            )

    async def _move(self, record: SessionRecord, model: Model, alias: Alias) -> SessionRecord | None:
        """Commit the move, and return the session after it; None if the version was deleted in between."""
        key, version, meta = record.key, model.version, record.meta
        assert meta.following is not None
        after = replace(
            meta,
            model=version.ref,
            model_digest=version.digest,
            deleted=None,
            following=meta.following.after(record.revision + 1, version.ref, alias.moved_ms),
            learning=learning_in(model.network) if meta.learning else "",
        )
        layout = layout_of(model.network.network) if meta.log else None
        here, nonce = record.position, os.urandom(MARK_BYTES)
        change = Change("follow", here, here, 0, APPEND, UNMARKED, nonce, b"", layout=layout)
        await self._uses.enlist(key, version.ref)
        state = begun_anew(record.state, model.network) if meta.learning else record.state
        commit = Commit(record, (change,), state, after)
        result = await self._commit(commit)
        if isinstance(result, CommitConflict):
            return result.record if result.has_state else None
        if not isinstance(result, Applied):
            if isinstance(result, Exception):
                raise result
            return None
        if await self._uses.confirm(key, version.ref):
            return commit.after
        await self._uses.fence_one(key, version.ref, known_of(model.network.network))
        return None

    async def _commit(self, commit: Commit) -> CommitResult:
        done: asyncio.Future[CommitResult] = asyncio.get_running_loop().create_future()

        def on_results(_: Sequence[int], results: Sequence[CommitResult]) -> None:
            """Give the result to the task, unless that was cancelled."""
            if not done.done():
                done.set_result(results[0])

        self._store.post([commit], on_results)
        return await done
