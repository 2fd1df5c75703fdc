"""Reads and writes the states of sessions, as a whole or by layer."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from cellar.ports import Floats, Identity, SessionKey, SessionStore
from cellar.sessions.service import state_edits
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.position import fingerprint
from cellar.sessions.values.results import ChangeAnswer, StateAnswer, StatePart


class States:
    """Reads and writes the states of sessions. Every method raises the same errors as those of `Sessions`."""

    def __init__(self, sessions: Sessions, store: SessionStore) -> None:
        self._sessions = sessions
        self._store = store

    async def read(self, key: SessionKey) -> StateAnswer:
        """Return the state, layer by layer, as it is now."""
        record = await self._sessions.recover(await self._store.load(key))
        sizes = (await self._sessions.models.known(key.tenant, record.meta)).network.network
        state = state_edits.state_of(record, sizes)
        parts = tuple(
            StatePart(place.layer, place.name, place.cell, state[:, place.offset : place.offset + place.size])
            for place in sizes.states
        )
        return StateAnswer(record.meta.model, record.meta.batch_size, record.position, parts)

    async def write(
        self,
        key: SessionKey,
        states: Mapping[state_edits.Place, Floats] | Floats,
        identity: Identity,
        *,
        whole: bool = True,
        pointer: str = "/layers",
    ) -> ChangeAnswer:
        """Replace states, float32: (layer, name) -> (batch_size, size), or all side by side, (batch_size, state_size).

        The session is then at step 0 of a new epoch. `whole` says that these must be all states; else those that are
        not named stay as they are. Raise InvalidInput for a state that is missing or unknown, ShapeMismatch or
        NotFinite, each with `pointer`.
        """
        if not isinstance(states, Mapping):
            values = np.ascontiguousarray(states, dtype="<f4")
            mark = fingerprint("write", values, names="side by side")
            edit = partial(state_edits.write_columns, values, pointer=pointer)
            return await self._sessions.change(key, "write", identity, mark, edit)
        parts = {place: np.ascontiguousarray(states[place], dtype="<f4") for place in sorted(states)}
        mark = fingerprint("write", *parts.values(), names=f"{list(parts)}{'' if whole else ' some'}")
        edit = partial(state_edits.write_all if whole else state_edits.write_some, parts, pointer=pointer)
        return await self._sessions.change(key, "write", identity, mark, edit)
