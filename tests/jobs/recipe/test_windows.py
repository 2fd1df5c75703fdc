"""Windows of series."""

import numpy as np

from cellar.jobs.recipe.series import Scale, Series
from cellar.jobs.recipe.windows import Shape, count_windows, dataset

SHAPE = Shape(window=8, skip=2, horizon=3)
SCALE = Scale(np.array([100.0]), np.array([2.0]))


def counting(steps: int, trained: int) -> Series:
    """Return a series whose only feature and target are the number of the step."""
    numbers = np.arange(steps, dtype=np.float64)[:, None]
    return Series(numbers.astype(np.float32), numbers, trained)


def test_targets_are_the_scaled_readings_after_each_step_and_reach_no_held_out_one() -> None:
    data = dataset([counting(50, 40)], SHAPE, SCALE, since=5)
    assert data.inputs.shape[1] == count_windows([40], SHAPE)
    assert data.weights is not None
    steps = data.inputs[SHAPE.skip :, :, 0]
    counts = data.weights > 0
    assert np.array_equal(data.targets[counts], (steps[counts][:, None] + [1, 2, 3] - 100) / 2)
    assert sorted(steps[counts].tolist()) == [*range(5, 37)]  # 36 + 3 is the last trained reading


def test_validation_windows_begin_with_trained_steps_and_score_held_out_ones() -> None:
    validation = dataset([counting(50, 40)], SHAPE, SCALE, since=0).validation
    assert validation is not None
    assert validation.weights is not None
    assert validation.inputs[:2, 0, 0].tolist() == [38, 39]
    scored = validation.inputs[SHAPE.skip :, :, 0][validation.weights > 0]
    assert sorted(scored.tolist()) == [*range(40, 47)]


def test_a_missing_reading_is_no_target() -> None:
    series = counting(50, 40)
    series.targets[20] = np.nan
    data = dataset([series], SHAPE, SCALE, since=0)
    assert data.weights is not None
    scored = data.inputs[SHAPE.skip :, :, 0][data.weights > 0].tolist()
    assert sorted({*range(2, 37)} - set(scored)) == [17, 18, 19]
    assert np.isfinite(data.targets).all()


def test_a_series_that_is_too_short_has_no_windows() -> None:
    data = dataset([counting(50, 40), counting(1, 0), counting(4, 3)], SHAPE, SCALE, since=0)
    assert data.inputs.shape[1] == count_windows([40, 0, 3], SHAPE) == count_windows([40], SHAPE)
