"""What `cellar train` prints of a result: errors in the units of each target, in words."""

from cellar.cli.remote.training.train_dataset import measured

SOLD = {"model": 282.8, "last_value": 904.7, "seasonal_value": 200.0, "mean": None}


def test_errors_are_in_units_of_the_target() -> None:
    evaluation = {"by_target": {"sold": SOLD}, "better_by": {"last_value": 0.687}}
    first, *rest = measured(evaluation, has_own_scales=False)
    assert first.startswith("On the held-out readings, forecasts of sold are off by 282.8 on average (mean absolute")
    assert first.endswith("in the units of sold):")
    assert rest == [
        "  68.7% better than repeating the last value, which is off by 904.7",
        "  41.4% WORSE than repeating the period before, which is off by 200",
    ]


def test_series_in_scales_of_their_own_are_compared_in_these_too() -> None:
    evaluation = {"by_target": {"sold": SOLD}, "better_by": {"last_value": 0.5}}
    last = [*measured(evaluation, has_own_scales=True)][-2:]
    assert last == ["Over all series, each in its own scale:", "  50.0% better than repeating the last value"]
    assert [*measured({"by_target": None, "better_by": None}, has_own_scales=False)] == []
    nothing = {"sold": dict.fromkeys(SOLD)}
    assert [*measured({"by_target": nothing, "better_by": None}, has_own_scales=False)] == []
