"""The functions that compute the new state of a session for a reset, a write or a restore.

An edit is run on the record on which its commit is based, and again if another process has changed the session. The
arguments before `record` are those of the request; `functools.partial` makes an `Edit` of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cellar.errors import InvalidInput, KernelRevisionMismatch, ShapeMismatch, SnapshotUnfit
from cellar.ports import Floats, Mask, SessionRecord
from cellar.sessions.requests.change_request import Edited
from cellar.sessions.scheduling.commit_builder import check_finite, check_state
from cellar.sessions.values.deleted_model import LEARNT, state_not_stored
from cellar.sessions.values.learning import learner, restarted
from cellar.sessions.values.model_protocol import Network, Sizes
from cellar.wire.arrays import state as state_bytes

Place = tuple[int, str]
"""A state by the number of its layer and its name."""


def state_of(record: SessionRecord, sizes: Sizes) -> Floats:
    """Return the state (rows, state_size) of a session, read-only. Raise StoreCorrupt."""
    return state_bytes.load(record.state, record.meta.batch_size, sizes.state_size)


def reset_all(record: SessionRecord, network: Network) -> Edited:
    """Reset the session to its initial state. It keeps what it has learnt."""
    if (kept := restarted(record.state, network)) is not None:
        return Edited(kept)
    return Edited(state_bytes.dump(network.initial_state(record.meta.batch_size)))


def reset_rows(rows: Sequence[int] | Sequence[bool], record: SessionRecord, network: Network) -> Edited:
    """Reset these rows to the initial state. Raise as `mask_of`."""
    mask = mask_of(rows, record.meta.batch_size)
    if mask.all() and (kept := restarted(record.state, network)) is not None:
        return Edited(kept, reset=mask)
    state = state_of(record, network.network).copy()
    state[mask] = network.initial_state(record.meta.batch_size)[mask]
    return Edited(state_bytes.dump(state), reset=mask)


def mask_of(rows: Sequence[int] | Sequence[bool], batch_size: int) -> Mask:
    """Return a mask (batch_size,) of rows, given by their numbers or by a bool for each row.

    Raise InvalidInput for a row that does not exist, or for another number of bools than rows.
    """
    if rows and isinstance(rows[0], bool):
        if len(rows) != batch_size:
            raise InvalidInput(
                "a mask has a place for each row of the session",
                pointer="/rows",
                expected=f"as many of true and false as the session has rows: {batch_size}",
                actual=str(len(rows)),
            )
        return np.array(rows, dtype=np.bool_)
    mask = np.zeros(batch_size, dtype=np.bool_)
    for index, row in enumerate(rows):
        if not 0 <= row < batch_size:
            raise InvalidInput(
                "the session has no such row",
                pointer=f"/rows/{index}",
                expected=f"0 to {batch_size - 1}",
                actual=str(row),
            )
        mask[row] = True
    return mask


def write_all(
    parts: Mapping[Place, Floats], record: SessionRecord, network: Network, *, pointer: str = "/layers"
) -> Edited:
    """Replace the whole state by these parts. Raise InvalidInput if one is missing, and the errors of `write_some`.

    A session keeps the weights that it has learnt unless they are among the parts.
    """
    states = {(place.layer, place.name) for place in network.network.states if place.cell not in LEARNT}
    if missing := states - parts.keys():
        layer, name = min(missing)
        unknown = sorted(parts.keys() - {(place.layer, place.name) for place in network.network.states})
        instead = f", and {unknown[0][1]!r} of layer {unknown[0][0]} is none" if unknown else ""
        raise InvalidInput(f"the state {name!r} of layer {layer} is missing{instead}", pointer=pointer)
    return write_some(parts, record, network, pointer=pointer)


def write_columns(values: Floats, record: SessionRecord, network: Network, *, pointer: str = "") -> Edited:
    """Replace the whole state by columns in the order of the states. Raise ShapeMismatch or NotFinite."""
    expected = (record.meta.batch_size, network.network.state_size)
    if values.shape != expected:
        raise ShapeMismatch(
            "the state has another shape",
            pointer=pointer,
            expected=f"{expected} (batch_size, state_size)",
            actual=str(values.shape),
        )
    check_finite(values, pointer)
    network.network.check_states(values, pointer)
    return Edited(state_bytes.dump(values))


def write_some(
    parts: Mapping[Place, Floats], record: SessionRecord, network: Network, *, pointer: str = "/layers"
) -> Edited:
    """Replace some states, (rows, size) each. Raise InvalidInput for an unknown state, ShapeMismatch or NotFinite."""
    places = {(place.layer, place.name): place for place in network.network.states}
    _check_known(parts, places, pointer)
    state = state_of(record, network.network).copy()
    for (layer, name), values in parts.items():
        place, expected = places[layer, name], (record.meta.batch_size, places[layer, name].size)
        if values.shape != expected:
            detail = f"the state {name!r} of layer {layer} has another shape"
            raise ShapeMismatch(detail, pointer=pointer, expected=str(expected), actual=str(values.shape))
        check_finite(values, pointer)
        state[:, place.offset : place.offset + place.size] = values
    network.network.check_states(state, pointer)
    written = state_bytes.dump(state)
    if (learns := learner(network)) is not None and not any(places[part].cell in LEARNT for part in parts):
        written = learns.reopened(written)  # the steps before do not lead to this state
    return Edited(written)


# the parameter of the protocol
def keep(ttl_s: int | None, pinned: bool | None, record: SessionRecord, network: Network) -> Edited:  # noqa: ARG001
    """Change the lifetime of the session, unless None; its state and its position stay the same."""
    now = record.meta
    meta = replace(now, ttl_s=now.ttl_s if ttl_s is None else ttl_s, pinned=now.pinned if pinned is None else pinned)
    return Edited(record.state, meta, stays=True)


def restore(copy: SessionRecord, record: SessionRecord, network: Network) -> Edited:
    """Restore the session from a snapshot. Raise SnapshotUnfit, KernelRevisionMismatch or StoreCorrupt."""
    was, now = copy.meta, record.meta
    if was.model_digest != now.model_digest:
        raise SnapshotUnfit(
            f"the snapshot is of the model {was.model}, and the session has {now.model} now; "
            "restore it where that model is, or write its state"
        )
    if was.kernel_rev != now.kernel_rev:
        raise KernelRevisionMismatch(
            f"the snapshot is of kernel revision {was.kernel_rev}, and the session has {now.kernel_rev} now; "
            "restore it where that revision is, or write its state"
        )
    if copy.redo:
        raise state_not_stored(was.model)
    check_state(copy, network.network)
    return Edited(copy.state)


def _check_known(parts: Iterable[Place], places: Mapping[Place, object], pointer: str) -> None:
    unknown = set(parts) - places.keys()
    if unknown:
        layer, name = min(unknown)
        raise InvalidInput(f"the state {name!r} of layer {layer} is no state of this model", pointer=pointer)
