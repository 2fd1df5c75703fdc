"""The course of a session, run once more: what its log tells, on whatever version of the model.

A course begins with the last change that gave the session a state: its creation, a reset of all rows, or a state that
was written, restored or gone back to. The initial state is the version's own. A state that was given is taken as it
is, if the version has the same states; else there is no such course.
"""

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from cellar.errors import ModelUnfit, NotKept, OutOfReach
from cellar.ports import HistoryStore, LogEntry, Position, SessionRecord
from cellar.sessions.history.history import entries, inputs_of
from cellar.sessions.history.reachability import GIVES_NO_STATE
from cellar.sessions.history.recompute import Recompute
from cellar.sessions.values.model_protocol import Model
from cellar.sessions.values.results import Floats
from cellar.sessions.values.state_layout import layout_of
from cellar.wire.arrays import state as state_bytes

BEGINS_ANEW = frozenset({"create", "reset"})
"""Changes that give the initial state."""

GOES_ON = frozenset({GIVES_NO_STATE, "migrate"})
"""Changes that are none for another version: it would have gone on."""


@dataclass(slots=True)
class LogReplay:
    """A version on its way through a log: `rerun` is in the state after `revision` changes of the session."""

    model: Model
    rerun: Recompute
    rows: int
    incarnation: bytes
    revision: int
    place: Position
    """Where the session stood then."""
    began: Position
    steps: int = 0
    """How many it has made."""

    async def go_through(self, entry: LogEntry) -> None:
        """Go through the next change. Raise as `take`."""
        async for _ in self.take(entry):
            pass

    async def take(self, entry: LogEntry) -> AsyncIterator[Floats]:
        """Go through the next change, and yield the outputs of its steps, (T, rows, out_size) in parts of T.

        Raise ModelUnfit for a state that the version does not have, ShapeMismatch, IdUnknown, StateNotFinite or
        OutputNotFinite.
        """
        if entry.steps:
            inputs, reset = inputs_of(entry, self.rows)
            async for outputs in self.rerun.outputs(inputs, reset):
                yield outputs
            self.steps += entry.steps
        elif entry.kind in BEGINS_ANEW:
            self.rerun.begin_anew(np.frombuffer(entry.reset, np.bool_) if entry.reset else None)
        elif entry.kind not in GOES_ON:
            self.rerun.state = _given(entry, self.model)
        self.revision, self.place = entry.revision, entry.after


def begins(entry: LogEntry) -> bool:
    """Return whether a course may begin with this change."""
    return entry.state is not None and entry.kind not in GOES_ON and not (entry.kind == "reset" and entry.reset)


async def beginning(store: HistoryStore, record: SessionRecord, since: Position | None = None) -> LogEntry:
    """Return the last change with which a course may begin, or the one that led to the position `since`.

    Raise NotKept if there is no log, OutOfReach if it does not reach back to such a change.
    """
    if not record.meta.log:
        raise NotKept("the session has no log: create it with `log`")
    found = None
    async for entry in entries(store, record, -1):
        if begins(entry) and (since is None or entry.after == since):
            found = entry
    if found is not None:
        return found
    if since is not None:
        raise OutOfReach(f"the log has no change that gave the session a state and led to {since}")
    raise OutOfReach("the log no longer has the change that gave the session its last state")


def course_from(entry: LogEntry, record: SessionRecord, model: Model, kernels: Executor) -> LogReplay:
    """Return the course of a version that begins with a change. Raise ModelUnfit."""
    rows = record.meta.batch_size
    anew = entry.kind in BEGINS_ANEW
    state = state_bytes.dump(model.network.initial_state(rows)) if anew else _given(entry, model)
    rerun = Recompute(model.network, state, rows, kernels)
    return LogReplay(model, rerun, rows, record.meta.incarnation, entry.revision, entry.after, entry.after)


def _given(entry: LogEntry, model: Model) -> bytes:
    """Return the state that a change gave, for a version that has the same states. Raise ModelUnfit."""
    layout = layout_of(model.network.network)
    if entry.state is None or entry.layout != layout:
        raise ModelUnfit(
            f"change {entry.revision} of the session ({entry.kind}) gave it a state that {model.version.ref} has not",
            expected=layout,
            actual=entry.layout,
        )
    return entry.state
