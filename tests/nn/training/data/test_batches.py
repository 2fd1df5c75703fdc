"""How data is cut: every scored step in one window, with its own target and the inputs before it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.training.data.alignment import split
from cellar.nn.training.data.batches import Plan
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.objective import Objective
from cellar.nn.training.spec import TrainingSpec


def numbered(steps: int, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (T, B, 1) numbers that say where they stand: row * 1000 + step."""
    return (np.arange(rows)[None, :, None] * 1000 + np.arange(steps)[:, None, None]).astype(np.float32)


def plans(steps: int, rows: int, targets: int | None = None, **fields: Any) -> tuple[Plan, Plan | None]:
    """Return the plans of numbered data whose targets equal the inputs of the same step."""
    inputs = numbered(steps, rows)
    data = Dataset(inputs, inputs[steps - (targets or steps) :])
    return split(data, 1, 1, TrainingSpec.model_validate(fields))


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw settings that fit the data's length."""
    warmup, skip = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    window = draw(st.none() | st.integers(skip + 1, 12))
    return {
        "steps": warmup + skip + draw(st.integers(1, 20)),
        "rows": draw(st.integers(1, 5)),
        "warmup": warmup,
        "skip": skip,
        "window": window,
        "batch_size": draw(st.integers(1, 6)),
        "seed": draw(st.integers(0, 3)),
    }


@given(settings(), st.integers(0, 2))
def test_reset_scores_every_step_once_with_what_stands_before_it(fields: dict[str, Any], epoch: int) -> None:
    plan, _ = plans(state="reset", **fields)
    warmup, skip, order = fields["warmup"], fields["skip"], plan.order(epoch)
    scored = []
    for index in range(plan.updates):
        batch = plan.batch(order, index)
        assert batch.warmup is not None
        assert batch.warmup.shape[0] == warmup
        assert batch.inputs.shape[0] == skip + batch.targets.shape[0] <= plan.window
        assert batch.inputs.shape[1] <= fields["batch_size"]
        count = 0
        for row in range(batch.inputs.shape[1]):
            length = batch.inputs.shape[0] if batch.lengths is None else int(batch.lengths[row])
            fed = [*batch.warmup[:, row, 0], *batch.inputs[:length, row, 0]]
            assert fed == [fed[0] + step for step in range(len(fed))]
            assert fed[warmup + skip :] == batch.targets[: length - skip, row, 0].tolist()
            scored += fed[warmup + skip :]
            count += length - skip
        assert [count] == batch.counts(Objective.of(MeanSquaredError(type="mse"), 1))
    assert sorted(scored) == numbered(fields["steps"], fields["rows"])[warmup + skip :, :, 0].T.ravel().tolist()


@given(settings(), st.integers(0, 2))
def test_carry_feeds_every_step_once_in_order(fields: dict[str, Any], epoch: int) -> None:
    plan, _ = plans(state="carry", **fields)
    warmup, skip, order = fields["warmup"], fields["skip"], plan.order(epoch)
    fed: list[list[float]] = []
    scored: list[float] = []
    first = 0
    for index in range(plan.updates):
        batch = plan.batch(order, index)
        if batch.warmup is not None:
            fed += [column.tolist() for column in batch.warmup[:, :, 0].T]
            first = len(fed) - batch.inputs.shape[1]
        for row, column in enumerate(batch.inputs[:, :, 0].T, first):
            fed[row] += column.tolist()
        assert batch.targets.shape[0] == batch.inputs.shape[0] - batch.skip
        assert np.array_equal(batch.inputs[batch.skip :], batch.targets)
        scored += batch.targets.ravel().tolist()
    everything = numbered(fields["steps"], fields["rows"])[:, :, 0].T
    assert sorted(fed) == everything.tolist()
    assert sorted(scored) == everything[:, warmup + skip :].ravel().tolist()


def test_epochs_have_orders_of_their_own_and_seeds_too() -> None:
    orders = [plans(100, 1, window=5, seed=seed)[0].order(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert plans(100, 1, window=5, seed=0)[0].order(0).tolist() == orders[0]


@pytest.mark.parametrize("targets", [20, 18, 15])
def test_targets_are_aligned_with_the_end(targets: int) -> None:
    plan, _ = plans(20, 2, targets, warmup=2, skip=3)
    assert plan.targets[0, 0, 0] == 5
    assert plan.targets.shape[0] == 15


@pytest.mark.parametrize("targets", [1, 14, 16, 17, 19])
def test_targets_of_another_length_are_refused(targets: int) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        plans(20, 2, targets, warmup=2, skip=3)
    assert caught.value.pointer == "/data/targets"
    assert caught.value.expected == "15 or 18 or 20 steps"
    assert "those that are scored, those after the warm-up, or all" in caught.value.detail


@given(settings(), st.sampled_from(["reset", "carry"]), st.sampled_from(["scored", "after the warm-up", "all"]))
def test_targets_of_every_length_that_is_read_are_the_same(fields: dict[str, Any], state: str, sent: str) -> None:
    warmup, skip = fields["warmup"], fields["skip"]
    before = {"scored": warmup + skip, "after the warm-up": warmup, "all": 0}[sent]
    found, _ = plans(targets=fields["steps"] - before, state=state, **fields)
    assert np.array_equal(found.targets, numbered(fields["steps"], fields["rows"])[warmup + skip :])


def test_the_last_steps_of_one_row_are_held_out_with_a_warm_up_before_them() -> None:
    plan, held_out = plans(100, 1, warmup=5, skip=2, window=10, validation=0.2)
    assert held_out is not None
    assert plan.targets[:, 0, 0].tolist() == list(range(7, 82))
    assert held_out.targets[:, 0, 0].tolist() == list(range(82, 100))
    assert held_out.inputs[0, 0, 0] == 75


@pytest.mark.parametrize("fields", [{"state": "carry", "window": 10}, {"state": "carry"}, {}, {"window": 100}])
def test_held_out_steps_of_a_sequence_come_after_all_steps_before_them(fields: dict[str, Any]) -> None:
    plan, held_out = plans(100, 1, warmup=5, skip=2, validation=0.2, **fields)
    assert held_out is not None
    assert plan.targets[:, 0, 0].tolist() == list(range(7, 82))
    first = held_out.batch(held_out.order(None), 0)
    assert first.warmup is not None
    assert first.warmup[:, 0, 0].tolist() == list(range(82))
    assert (first.skip, first.targets[0, 0, 0]) == (0, 82)


@pytest.mark.parametrize(("rows", "fraction"), [(100, 0.29), (100, 0.57), (1000, 0.001), (10, 0.7), (3, 0.01)])
def test_a_fraction_of_the_rows_is_meant_in_decimal(rows: int, fraction: float) -> None:
    plan, held_out = plans(4, rows, validation=fraction)
    assert held_out is not None
    expected = max(1, round(rows * fraction))
    assert (held_out.inputs.shape[1], plan.inputs.shape[1]) == (expected, rows - expected)


def test_the_last_rows_are_held_out_if_there_are_several() -> None:
    plan, held_out = plans(6, 10, validation=0.25)
    assert held_out is not None
    assert plan.inputs.shape[1] == 8
    assert held_out.inputs[0, :, 0].tolist() == [8000, 9000]


def test_separate_validation_data_is_read_like_the_other() -> None:
    inputs, other = numbered(10, 2), numbered(7, 3)
    spec = TrainingSpec.model_validate({"skip": 2})
    _, held_out = split(Dataset(inputs, inputs, Dataset(other, other[2:])), 1, 1, spec)
    assert held_out is not None
    assert held_out.targets.shape == (5, 3, 1)


@pytest.mark.parametrize(
    ("inputs", "targets", "fields", "pointer", "error"),
    [
        (np.zeros((5, 2, 2)), np.zeros((5, 2, 1)), {}, "/data/inputs", ShapeMismatch),
        (np.zeros((5, 2, 1)), np.zeros((5, 2, 2)), {}, "/data/targets", ShapeMismatch),
        (np.zeros((5, 2, 1)), np.zeros((5, 3, 1)), {}, "/data/targets", ShapeMismatch),
        (np.zeros((5, 2, 1)), np.full((5, 2, 1), np.inf), {}, "/data/targets", NotFinite),
        (np.full((5, 2, 1), np.nan), np.zeros((5, 2, 1)), {}, "/data/inputs", NotFinite),
        (np.zeros((5, 2, 1)), np.zeros((5, 2, 1)), {"warmup": 3, "skip": 2}, "/data/inputs", InvalidInput),
        (np.zeros((5, 1, 1)), np.zeros((1, 1, 1)), {"skip": 4, "validation": 0.5}, "/validation", InvalidInput),
        (np.zeros((5, 2, 1)), np.zeros((5, 2, 1)), {"loss": "cross_entropy"}, "/loss", InvalidInput),
    ],
)
def test_faults_are_located(
    inputs: np.ndarray[Any, Any],
    targets: np.ndarray[Any, Any],
    fields: dict[str, Any],
    pointer: str,
    error: type[InvalidInput],
) -> None:
    data = Dataset(inputs.astype(np.float32), targets.astype(np.float32))
    with pytest.raises(error) as caught:
        split(data, 1, 1, TrainingSpec.model_validate(fields))
    assert caught.value.pointer == pointer


def test_validation_is_a_fraction_or_data_and_not_both() -> None:
    inputs = numbered(10, 1)
    with pytest.raises(InvalidInput):
        split(Dataset(inputs, inputs, Dataset(inputs, inputs)), 1, 1, TrainingSpec.model_validate({"validation": 0.5}))
