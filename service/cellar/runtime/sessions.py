"""Sessions as a service: what every transport calls, in its own words of arrays and positions."""

import asyncio
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from cellar.errors import AlreadyExists, InvalidInput, ShapeMismatch
from cellar.ports import (
    Clock,
    Committed,
    Identity,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionStore,
    SessionSummary,
)
from cellar.runtime import edits
from cellar.runtime.answers import (
    ChangeAnswer,
    CreateAnswer,
    Floats,
    PageAnswer,
    SessionAnswer,
    StateAnswer,
    StatePart,
    StepAnswer,
)
from cellar.runtime.changes import check_finite, rows_to_reset
from cellar.runtime.lane import Edit, Request
from cellar.runtime.lanes import Lanes
from cellar.runtime.models import LoadModel
from cellar.runtime.positions import EPOCH_BYTES, Kind, fingerprint, start_of

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
MAX_KEY = 255
"""Characters of an Idempotency-Key: four UUIDs and a half, twice what is usual."""

NONCE_BYTES = 16

Reset = bool | Sequence[bool]
"""Which rows begin from the initial state: all, none, or each by itself."""


class Sessions:
    """Create, step, read and end sessions.

    Every method may raise StoreUnavailable and, for a session that is not there, SessionUnknown or SessionExpired.
    Every method that changes one may raise the PositionConflict that its identity deserves, FingerprintMismatch,
    Overloaded, ModelUnknown or KernelRevisionMismatch. A caller that is cancelled leaves the session as it was, or as
    the request would have left it, and harms no other.
    """

    def __init__(
        self,
        store: SessionStore,
        load_model: LoadModel,
        clock: Clock,
        *,
        kernel_rev: int,
        default_ttl_s: int,
        max_batch_size: int = 4096,
        max_sequence_steps: int = 65536,
        max_numbers: int = 4 * 1024 * 1024,
        queue_limit: int = 4096,
        cache_bytes: int = 64 * 1024 * 1024,
        ahead: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._kernel_rev = kernel_rev
        self._default_ttl_s = default_ttl_s
        self._max_batch_size = max_batch_size
        self._max_sequence_steps = max_sequence_steps
        self._max_numbers = max_numbers
        self._kernels = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="cellar-kernel")
        self._lanes = Lanes(
            store,
            load_model,
            self._kernels,
            kernel_rev=kernel_rev,
            queue_limit=queue_limit,
            cache_bytes=cache_bytes,
            max_numbers=max_numbers,
            ahead=ahead,
        )

    async def create(
        self, tenant: str, *, model: str, session: str | None = None, batch_size: int = 1, ttl_s: int | None = None
    ) -> CreateAnswer:
        """Create a session of a model (`name` or `name@3`); a name is made up if None.

        The same request again answers the same session. Raise AlreadyExists, ModelUnknown or InvalidInput.
        """
        name = secrets.token_hex(12) if session is None else session
        ttl_s = self._default_ttl_s if ttl_s is None else ttl_s
        _check_name(name)
        _check_range("batch_size", batch_size, self._max_batch_size)
        _check_range("ttl_s", ttl_s, 2**31)
        loaded = await self._lanes.models.resolve(tenant, model)
        sizes = loaded.network.network
        _check_range("batch_size", batch_size, self._max_numbers // max(sizes.out_size, sizes.state_size))
        birth = secrets.token_hex(EPOCH_BYTES)
        version = loaded.version
        meta = SessionMeta(version.ref, version.digest, batch_size, self._kernel_rev, ttl_s, self._clock.now_s(), birth)
        state = loaded.network.initial_state(batch_size).astype("<f4").tobytes()
        record = SessionRecord(SessionKey(tenant, name), meta, start_of(birth), 0, state)
        there = await self._store.create(record)
        if there is None:
            self._lanes.forget(record.key)
            return CreateAnswer(self._describe(SessionSummary(record.key, meta, record.position, ttl_s)), created=True)
        if not _same(there.meta, model, batch_size, ttl_s):
            raise AlreadyExists(f"there is another session {name}, of the model {there.meta.model}")
        return CreateAnswer(self._describe(there), created=False)

    async def get(self, key: SessionKey) -> SessionAnswer:
        """Return the session without its state."""
        return self._describe(await self._store.summary(key))

    async def list(self, tenant: str, *, cursor: str = "", limit: int = 100) -> PageAnswer:
        """Return up to `limit` sessions after `cursor`. Raise InvalidInput for a cursor that is none."""
        found, after = await self._store.list(tenant, cursor, limit)
        return PageAnswer(tuple(self._describe(summary) for summary in found), after)

    async def delete(self, key: SessionKey) -> None:
        """Delete the session."""
        self._lanes.forget(key)
        await self._store.delete(key)

    async def step(self, key: SessionKey, inputs: Floats, identity: Identity, *, reset: Reset = False) -> StepAnswer:
        """Advance by one step. `inputs` is (batch_size, in_size) float32.

        Rows that are to be reset begin from the initial state, in the same commit; it is no new epoch. Raise
        ShapeMismatch, NotFinite, StateNotFinite or OutputNotFinite, whose pointers begin at the inputs, or InvalidInput
        for a `reset` that does not fit.
        """
        if inputs.ndim != 2:
            raise ShapeMismatch("a step is rows of inputs", expected="(batch_size, in_size)", actual=str(inputs.shape))
        return await self._advance(key, "step", inputs[None], identity, reset)

    async def sequence(
        self, key: SessionKey, inputs: Floats, identity: Identity, *, reset: Reset = False
    ) -> StepAnswer:
        """Advance by T steps, all or nothing. `inputs` is (T, batch_size, in_size) float32.

        Rows are reset before the first step. Raise as `step`.
        """
        limit = self._max_sequence_steps
        if inputs.ndim != 3 or not 1 <= inputs.shape[0] <= limit:
            raise ShapeMismatch(
                "a sequence is steps of rows of inputs",
                expected=f"(T, batch_size, in_size), T from 1 to {limit}",
                actual=str(inputs.shape),
            )
        return await self._advance(key, "sequence", inputs, identity, reset)

    async def reset(
        self, key: SessionKey, identity: Identity, *, rows: Sequence[int] | Sequence[bool] | None = None
    ) -> ChangeAnswer:
        """Go back to the initial state, or let these rows do so, at step 0 of a new epoch.

        `rows` are numbers of rows, or a bool for each. Raise InvalidInput for rows that are none.
        """
        if rows is None:
            return await self.change(key, "reset", identity, fingerprint("reset"), edits.reset_all)
        mark = fingerprint("reset", names=str(list(rows)))
        return await self.change(key, "reset", identity, mark, partial(edits.reset_rows, tuple(rows)))

    async def read_state(self, key: SessionKey) -> StateAnswer:
        """Return the state, layer by layer, as it is now."""
        record = await self._store.load(key)
        served = await self._lanes.models.fetch(key.tenant, record.meta)
        sizes = served.model.network.network
        state = edits.state_of(record, sizes)
        parts = tuple(
            StatePart(place.layer, place.name, state[:, place.offset : place.offset + place.size])
            for place in sizes.states
        )
        return StateAnswer(record.meta.model, record.position, parts)

    async def write_state(
        self,
        key: SessionKey,
        parts: Mapping[edits.Place, Floats],
        identity: Identity,
        *,
        whole: bool = True,
        pointer: str = "/layers",
    ) -> ChangeAnswer:
        """Replace states: (layer, name) -> (batch_size, size) float32; step 0 of a new epoch.

        `whole` says that these must be all states; else those that are not named stay as they are. Raise InvalidInput
        for a part that is missing or unknown, ShapeMismatch or NotFinite, each with `pointer`.
        """
        parts = {place: np.ascontiguousarray(parts[place], dtype="<f4") for place in sorted(parts)}
        mark = fingerprint("write", *parts.values(), names=f"{list(parts)}{'' if whole else ' some'}")
        edit = partial(edits.write_all if whole else edits.write_some, parts, pointer=pointer)
        return await self.change(key, "write", identity, mark, edit)

    async def change(self, key: SessionKey, kind: Kind, identity: Identity, mark: bytes, edit: Edit) -> ChangeAnswer:
        """Make a change that is not a step: step 0 of a new epoch. `mark` is the fingerprint of the request's body.

        Raise what `edit` raises.
        """
        request = self._request(key, kind, identity, mark)
        request.edit = edit
        done = await self._lanes.submit(request)
        return ChangeAnswer(done.position, done.replayed)

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Take no more requests, wait up to `grace_s` for those under way, and end the threads."""
        try:
            async with asyncio.timeout(grace_s):
                await self._lanes.drain()
        except TimeoutError:
            pass
        self._lanes.models.close()
        self._kernels.shutdown(wait=False, cancel_futures=True)

    async def _advance(
        self, key: SessionKey, kind: Kind, inputs: Floats, identity: Identity, reset: Reset
    ) -> StepAnswer:
        inputs = np.ascontiguousarray(inputs, dtype="<f4")
        check_finite(inputs)
        anew = rows_to_reset(reset, inputs.shape[1])
        known = identity.ordered or identity.key is not None
        bodies = (inputs,) if anew is None else (inputs, anew)
        request = self._request(key, kind, identity, fingerprint(kind, *bodies) if known else b"\0" * NONCE_BYTES)
        request.inputs, request.reset = inputs, anew
        done = await self._lanes.submit(request)
        return StepAnswer(done.position, _outputs(done, inputs.shape[1]), done.replayed)

    def _request(self, key: SessionKey, kind: Kind, identity: Identity, mark: bytes) -> Request:
        if identity.position is not None and identity.step not in (None, identity.position.step):
            raise InvalidInput("position and step name different steps", pointer="/step")
        if identity.key is not None and not 1 <= len(identity.key) <= MAX_KEY:
            raise InvalidInput(f"an Idempotency-Key has 1 to {MAX_KEY} characters")
        loop = asyncio.get_running_loop()
        return Request(key, kind, identity, mark, os.urandom(NONCE_BYTES), loop.create_future(), loop.time())

    def _describe(self, summary: SessionSummary) -> SessionAnswer:
        meta = summary.meta
        return SessionAnswer(
            session=summary.key.session,
            model=meta.model,
            model_digest=meta.model_digest,
            batch_size=meta.batch_size,
            kernel_rev=meta.kernel_rev,
            position=summary.position,
            ttl_s=meta.ttl_s,
            created_s=meta.created_s,
            expires_s=self._clock.now_s() + summary.left_s,
        )


def _outputs(done: Committed, rows: int) -> Floats | None:
    if done.output is None:
        return None
    return np.frombuffer(done.output, dtype="<f4").reshape(done.steps, rows, -1)


def _same(meta: SessionMeta, model: str, batch_size: int, ttl_s: int) -> bool:
    """Return whether a request for this would have made that session; a name means any of its versions."""
    asked = meta.model if "@" in model else meta.model.partition("@")[0]
    return (asked, meta.batch_size, meta.ttl_s) == (model, batch_size, ttl_s)


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise InvalidInput(
            "not a name for a session", pointer="/session", expected=NAME.pattern, actual=name[: MAX_KEY // 2]
        )


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:  # of a model that is too large for any session, `most` is 0
        raise InvalidInput(f"{name} is out of range", pointer=f"/{name}", expected=f"1 to {most}", actual=str(value))
