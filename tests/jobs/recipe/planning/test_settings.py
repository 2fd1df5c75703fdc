"""Windows, batches and updates that are chosen from the length of the data."""

import pytest

from cellar.errors import InvalidInput
from cellar.jobs.recipe.planning.settings import UPDATES, run_of, shape_of


def test_a_window_longer_than_the_data_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        shape_of([100], 24, 80)
    assert raised.value.pointer == "/window"
    assert raised.value.expected == "at most 76"


@pytest.mark.parametrize("steps", [0, 1, 20, 39])
def test_data_shorter_than_horizon_and_window_are_refused(steps: int) -> None:
    with pytest.raises(InvalidInput, match="the longest series has"):
        shape_of([steps], 24, None)


def test_short_series_have_shorter_windows() -> None:
    assert shape_of([10_000], 24, None)[0].window == 64
    assert shape_of([103], 3, None)[0].window == 25


def test_every_choice_is_explained_unless_it_was_sent() -> None:
    fields, chosen = run_of(348, {"epochs": 7})
    assert fields["epochs"] == 7
    assert "epochs" not in {each.field for each in chosen}
    assert all(each.why for each in chosen)
    assert -(-348 // fields["batch_size"]) * run_of(348, {})[0]["epochs"] >= UPDATES
