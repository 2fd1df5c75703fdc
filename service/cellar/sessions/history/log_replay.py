"""Runs the log of a session on any version of its model, from a change that gave the session a state.

Such a change is the creation, a reset of all rows, or a write, restore or rewind. If it gave the initial state, the
replay begins with the initial state of the version that runs. Any other state is used as it is, which needs a version
with the same states."""

from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from cellar.errors import ModelUnfit, NotKept, OutOfReach
from cellar.ports import Floats, HistoryStore, LogEntry, Position, SessionRecord
from cellar.sessions.execution.recompute import Recompute
from cellar.sessions.history.history import entries, inputs_of
from cellar.sessions.history.reachability import GIVES_NO_STATE
from cellar.sessions.values.learning import LEARNING_KINDS
from cellar.sessions.values.model_protocol import Model, layout_of
from cellar.wire.arrays import state as state_bytes

GIVES_INITIAL_STATE = frozenset({"create", "reset"})
"""Kinds of changes that put rows into the initial state."""

CHANGES_MODEL = frozenset({"migrate", "follow"})
"""Kinds of changes that move the session to another version."""

KEEPS_STATE = frozenset({GIVES_NO_STATE, *CHANGES_MODEL})
"""Kinds of changes that a replay ignores, because they would not have changed the state of the version that runs."""


@dataclass(slots=True)
class LogReplay:
    """The state of a replay after `revision` changes of the session."""

    model: Model
    recompute: Recompute
    rows: int
    incarnation: bytes
    revision: int
    position: Position
    """The position of the session after these changes."""
    start: Position
    """The position of the session where the replay began."""
    steps: int = 0
    """The steps that were run."""

    async def run(self, entry: LogEntry) -> None:
        """Run the next change and drop the outputs. Raise as `outputs`."""
        async for _ in self.outputs(entry):
            pass

    async def outputs(self, entry: LogEntry) -> AsyncIterator[Floats]:
        """Run the next change, and yield the outputs of its steps, (T, rows, out_size) in parts of T.

        Raise ModelUnfit for a state that the version does not have, ShapeMismatch, IdUnknown, StateNotFinite or
        OutputNotFinite.
        """
        if entry.steps:
            inputs, flags = inputs_of(entry, self.rows)
            async for outputs in self.recompute.outputs(inputs, flags):
                yield outputs
            self.steps += entry.steps
        elif entry.kind in LEARNING_KINDS:
            self.recompute.learn(entry.kind, entry.inputs)
        elif entry.kind in GIVES_INITIAL_STATE:
            self.recompute.reset(np.frombuffer(entry.row_flags, np.bool_) if entry.row_flags else None)
        elif entry.kind not in KEEPS_STATE:
            self.recompute.state = _given(entry, self.model)
        self.revision, self.position = entry.revision, entry.after


def can_start_replay(entry: LogEntry) -> bool:
    """Return whether a replay can begin with this change: it gave all rows a state."""
    return entry.state is not None and entry.kind not in KEEPS_STATE and not (entry.kind == "reset" and entry.row_flags)


async def replay_start(store: HistoryStore, record: SessionRecord, since: Position | None = None) -> LogEntry:
    """Return the last change with which a replay can begin, or the one that led to the position `since`.

    Raise NotKept if the session has no log, OutOfReach if the log does not have such a change.
    """
    if not record.meta.log:
        raise NotKept("the session has no log: create it with `log`")
    found = None
    async for entry in entries(store, record, -1):
        if can_start_replay(entry) and (since is None or entry.after == since):
            found = entry
    if found is not None:
        return found
    if since is not None:
        raise OutOfReach(f"the log has no change that gave the session a state and led to {since}")
    raise OutOfReach("the log no longer has the change that gave the session its last state")


def replay_from(entry: LogEntry, record: SessionRecord, model: Model, kernels: Executor) -> LogReplay:
    """Return a replay on a version that begins with a change. Raise ModelUnfit."""
    rows = record.meta.batch_size
    keeps_learnt = record.meta.learning and entry.kind != "create" and model.version.digest == record.meta.model_digest
    initial = entry.kind in GIVES_INITIAL_STATE and not keeps_learnt
    state = state_bytes.dump(model.network.initial_state(rows)) if initial else _given(entry, model)
    recompute = Recompute(model.network, state, rows, kernels)
    return LogReplay(model, recompute, rows, record.meta.incarnation, entry.revision, entry.after, entry.after)


def _given(entry: LogEntry, model: Model) -> bytes:
    """Return the state that a change gave. Raise ModelUnfit if the version has other states."""
    layout = layout_of(model.network.network)
    if entry.state is None or entry.layout != layout:
        raise ModelUnfit(
            f"change {entry.revision} of the session ({entry.kind}) gave it states that {model.version.ref} lacks",
            expected=layout,
            actual=entry.layout,
        )
    return entry.state


LAST = 16
"""The number of latest changes whose largest differences are kept."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference in the outputs of one change."""

    after: str
    """The position after the change."""
    largest: float


@dataclass(slots=True)
class Differences:
    """Absolute differences of single numbers, over all steps that were compared."""

    steps: int = 0
    numbers: int = 0
    largest: float = 0.0
    total: float = 0.0
    last: deque[Difference] = field(default_factory=lambda: deque(maxlen=LAST))
    """Differences of the latest changes, oldest first."""

    @property
    def mean(self) -> float:
        """The mean over all numbers, 0 if there are none."""
        return self.total / self.numbers if self.numbers else 0.0


async def compare(entry: LogEntry, own: LogReplay, other: LogReplay, differences: Differences) -> None:
    """Run the next change in two replays of the same rows and outputs, and add the differences."""
    largest, its = 0.0, other.outputs(entry)
    async for mine in own.outputs(entry):
        apart = np.abs(mine.astype(np.float64) - await anext(its))
        if entry.row_flags:  # rows that take no part in a step have no outputs
            apart = apart[~np.isnan(apart)]
        largest = max(largest, float(apart.max(initial=0.0)))
        differences.total += float(apart.sum())
        differences.numbers += apart.size
    async for _ in its:  # runs the rest of the generator, which sets the position of the replay
        raise AssertionError("more outputs than the other version has")
    if entry.steps:
        differences.steps += entry.steps
        differences.largest = max(differences.largest, largest)
        differences.last.append(Difference(str(entry.after), largest))
