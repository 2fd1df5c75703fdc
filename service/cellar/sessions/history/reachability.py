"""Computes which steps of the present epoch a session can be rewound to.

A step can be reached if its state is kept, or if the log has all inputs from a kept state up to the step. The log has
no gaps up to the present, so only its first entry has to be examined.
"""

from collections.abc import Sequence

from cellar.ports import KeptState, StoredHistory

GIVES_NO_STATE = "settings"
"""The kind of change that changes neither state nor position."""


def usable(stored: StoredHistory) -> Sequence[KeptState]:
    """Return the kept states of the present model: those since the last migration."""
    return [kept for kept in stored.states if kept.revision >= stored.meta.migrated]


def log_covers(stored: StoredHistory, kept: KeptState) -> bool:
    """Return whether the log has all changes since a kept state."""
    return stored.first is not None and stored.first.revision - 1 <= kept.revision


def log_has_epoch_start(stored: StoredHistory) -> bool:
    """Return whether the log has the change that began the present epoch, and thereby the state at its step 0."""
    first = stored.first
    if first is None:
        return False
    return first.after.epoch != stored.position.epoch or (first.after.step == 0 and first.kind != GIVES_NO_STATE)


def reachable(stored: StoredHistory) -> list[tuple[int, int]]:
    """Return the steps of the present epoch that can be reached, as (first, last), in order.

    >>> from cellar.ports import Position, SessionMeta
    >>> at = lambda step: Position(b"e", step, b"")
    >>> meta = SessionMeta("m@1", "", 1, 1, 60, 0.0, b"e", history=2)
    >>> reachable(StoredHistory(meta, at(9), 4, (KeptState(2, at(3)), KeptState(3, at(8))), None))
    [(3, 3), (8, 9)]
    """
    now = stored.position
    if log_has_epoch_start(stored):
        return [(0, now.step)]
    here = [kept for kept in usable(stored) if kept.position.epoch == now.epoch]
    spans = [(kept.position.step, now.step if log_covers(stored, kept) else kept.position.step) for kept in here]
    merged: list[tuple[int, int]] = []
    for first, last in sorted([*spans, (now.step, now.step)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
