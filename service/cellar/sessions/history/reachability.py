"""How far a session's past reaches: which steps of the present epoch can be gone back to, and from which states.

A step can be reached if the state before it is kept, or if the inputs from a state that is kept are in the log. Log
entries lie without a gap from the first one to the present, so it is enough to look where that one stands.
"""

from collections.abc import Sequence

from cellar.ports import KeptState, StoredHistory

GIVES_NO_STATE = "settings"
"""The kind of change that leaves state and position alone."""


def usable(stored: StoredHistory) -> Sequence[KeptState]:
    """Return the kept states that are of the model which the session has now."""
    return [kept for kept in stored.states if kept.revision >= stored.meta.migrated]


def is_followed(stored: StoredHistory, kept: KeptState) -> bool:
    """Return whether the log has all that happened since the session was in that state."""
    return stored.first is not None and stored.first.revision - 1 <= kept.revision


def has_beginning(stored: StoredHistory) -> bool:
    """Return whether the log has the change by which the present epoch began, and with it the state of its step 0."""
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
    if has_beginning(stored):
        return [(0, now.step)]
    here = [kept for kept in usable(stored) if kept.position.epoch == now.epoch]
    spans = [(kept.position.step, now.step if is_followed(stored, kept) else kept.position.step) for kept in here]
    merged: list[tuple[int, int]] = []
    for first, last in sorted([*spans, (now.step, now.step)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
