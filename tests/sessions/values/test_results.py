"""Outputs that are kept are read without the scores behind them."""

import numpy as np

from cellar.api.schemas.session.events import text_of
from cellar.ports import CommittedChange, Event, Position, join_scores, split_scores
from cellar.sessions.events.subscription import EventId, NewEvent
from cellar.sessions.values.results import outputs_of

OUTPUT = np.array([[[1, 2]], [[3, 4]]], "<f4").tobytes()
SCORES = np.array([[[0.5]], [[np.nan]]], "<f4").tobytes()
AFTER = Position(bytes(8), 2, bytes(16))


def test_both_parts_are_found_again() -> None:
    assert split_scores(join_scores(OUTPUT, SCORES)) == (OUTPUT, SCORES)
    assert split_scores(OUTPUT) == (OUTPUT, None)


def test_missed_changes_and_events_have_no_scores() -> None:
    kept = join_scores(OUTPUT, SCORES)
    outputs = outputs_of(CommittedChange(AFTER, 2, kept, None), 1)
    assert outputs is not None
    assert outputs.tolist() == [[[1, 2]], [[3, 4]]]
    texts = [text_of(NewEvent(EventId(bytes(8), 1), Event(1, "step", AFTER, 2, each)), 1) for each in (OUTPUT, kept)]
    assert texts[0] == texts[1]
