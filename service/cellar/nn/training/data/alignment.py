"""Checks and aligns the data of a run, and divides them into the plans of training and validation."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from cellar.engine import Floats, Ints, Mask
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import Plan, Room
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.data.targets import check_factors, read_targets
from cellar.nn.training.data.unread import without_unread
from cellar.nn.training.objective import Objective
from cellar.nn.training.spec import TrainingSpec


def plans(network: Network, data: Dataset, spec: TrainingSpec) -> tuple[Plan, Plan | None]:
    """Return the plans of training and of validation.

    Raise InvalidInput, ShapeMismatch or NotFinite if data, settings and network do not fit.
    """
    if not network.parameters:
        raise InvalidInput("the network has no parameters to train", pointer="/model")
    if network.whole_sequences:
        _check_whole(spec)
    missing = network.readings is not None
    found = split(data, network.out_size, network.in_size, spec, stateful=not network.whole_sequences, missing=missing)
    network.check_inputs(data.inputs, "/data/inputs")
    if data.validation is not None and found[1] is not None:
        network.check_inputs(found[1].inputs, "/data/validation/inputs")
    return found


def _check_whole(spec: TrainingSpec) -> None:
    """Refuse settings that carry a state between parts of a sequence, if the network reads whole sequences."""
    for field, value, allowed in (
        ("state", spec.state, "reset"),
        ("warmup", spec.warmup, 0),
        ("recompute", spec.recompute, None),
    ):
        if value != allowed:
            raise InvalidInput(
                "the model reads whole sequences, so no state is carried from one stretch of steps to the next",
                pointer=f"/{field}",
                expected="null" if allowed is None else str(allowed),
                actual=str(value),
            )


def split(
    data: Dataset, out_size: int, in_size: int, spec: TrainingSpec, *, stateful: bool = True, missing: bool = False
) -> tuple[Plan, Plan | None]:
    """Return the plans of training and of validation, aligned and checked.

    `stateful`: the state of the network is carried from one stretch of steps to the next. A network that reads whole
    sequences is not stateful. `missing`: inputs are readings, of which NaN are missing.

    Raise ShapeMismatch, InvalidInput or NotFinite with a pointer below /data, and InvalidInput for settings that do
    not fit the data.
    """
    objective = objective_of(out_size, data, spec)
    check_factors(objective, spec.target_weights)
    training = _aligned(data, in_size, objective, spec, "/data", missing=missing)
    if spec.validation is None:
        if data.validation is None:
            return training, None
        return training, _aligned(data.validation, in_size, objective, spec, "/data/validation", missing=missing)
    if data.validation is not None:
        raise InvalidInput("validation is both a fraction and data of its own", pointer="/validation")
    return _held_out(training, spec.validation, objective.parts[-1].weights.stop, stateful=stateful)


def objective_of(out_size: int, data: Dataset, spec: TrainingSpec) -> Objective:
    """Return the objective of a run: each target has a loss of its own if targets have weights of their own."""
    weights = [data.weights, None if data.validation is None else data.validation.weights]
    per_target = spec.target_weights is not None or any(each is not None and each.ndim == 3 for each in weights)
    return Objective.of(spec.loss, out_size, per_target=per_target)


def check_window(plan: Plan) -> None:
    """Raise InvalidInput for a window that is longer than the steps to train on.

    A running job shortens it to that length, as earlier versions did.
    """
    asked, longest = plan.spec.window, plan.longest
    if asked is not None and asked > longest:
        besides = " besides those that warm up or are held out" if plan.spec.warmup or plan.spec.validation else ""
        raise InvalidInput(
            f"a window of {asked} steps, and there are {longest} to train on{besides}",
            pointer="/window",
            expected=f"at most {longest}",
            actual=str(asked),
        )


def _held_out(plan: Plan, fraction: float, columns: int, *, stateful: bool) -> tuple[Plan, Plan]:
    """Hold out the last part: rows if there are several independent ones, otherwise scored steps of each row."""
    spec, rows = plan.spec, plan.inputs.shape[1]
    by_rows = rows > 1 and spec.state == "reset" and spec.window is None
    if by_rows:
        kept = rows - _held(rows, fraction)
        return plan.of_rows(slice(None, kept)), plan.of_rows(slice(kept, None))
    if plan.lengths is not None:
        return _held_out_of_each(plan, plan.lengths, fraction, columns, stateful=stateful)
    whole = plan.targets.shape[0]
    kept = whole - _held(whole, fraction)
    before = spec.warmup + spec.skip + kept
    weights = (None, None) if plan.weights is None else (plan.weights[:kept], plan.weights[kept:])
    training = Plan(plan.inputs[:before], plan.targets[:kept], spec, None, weights[0])
    if stateful and (spec.state == "carry" or plan.windows == 1):
        # Trained and held-out steps are one sequence: the state of held-out steps comes from all steps before them.
        goes_on = spec.model_copy(update={"warmup": before, "skip": 0})
        return training, Plan(plan.inputs, plan.targets[kept:], goes_on, None, weights[1])
    return training, Plan(plan.inputs[kept:], plan.targets[kept:], spec, None, weights[1])


def _held(whole: int, fraction: float) -> int:
    """Return how many of the rows or steps are held out. Raise InvalidInput if nothing would be left."""
    held = max(1, share_of(whole, fraction))
    if held == whole:
        raise InvalidInput("nothing would be left to train on", pointer="/validation", actual=f"{whole} to divide")
    return held


def _held_out_of_each(plan: Plan, lengths: Ints, fraction: float, columns: int, *, stateful: bool) -> tuple[Plan, Plan]:
    """Hold out the last steps of each row of a plan with lengths. `columns` is the number of those of weights."""
    spec, targets = plan.spec, plan.targets
    held = np.array([share_of(each, fraction) for each in lengths.tolist()], np.int32)
    held[lengths.argmax()] = _held(int(lengths.max()), fraction)
    kept = lengths - held
    first, most = spec.warmup + spec.skip, int(kept.max())
    weights = plan.weights if plan.weights is not None else np.ones((*targets.shape[:2], columns), np.float32)
    steps = np.arange(len(targets))[:, None]
    trained = None if plan.weights is None else _where(steps < kept, weights)[:most]
    training = Plan(plan.inputs[: first + most], targets[:most], spec, kept, trained)
    if stateful and (spec.state == "carry" or plan.windows == 1):
        # Each row is run from its begin, and only its held-out steps count.
        return training, replace(plan, weights=_where((steps >= kept) & (steps < lengths), weights), room=Room())
    inputs, later, counted = (
        np.zeros((before + int(held.max()), *array.shape[1:]), np.float32)
        for before, array in ((first, plan.inputs), (0, targets), (0, weights))
    )
    for row, (begin, count) in enumerate(zip(kept.tolist(), held.tolist(), strict=True)):
        inputs[: first + count, row] = plan.inputs[begin : begin + first + count, row]
        later[:count, row] = targets[begin : begin + count, row]
        counted[:count, row] = weights[begin : begin + count, row]
    return training, Plan(inputs, later, spec, held, counted)


def _where(mask: Mask, weights: Floats) -> Floats:
    """Return weights (T, B, ...) under a mask (T, B), and 0 elsewhere."""
    return np.where(mask[:, :, None], weights, np.float32(0))


def share_of(count: int, fraction: float) -> int:
    """Return the whole part of `fraction * count`, computed with the decimal digits of the fraction.

    >>> share_of(100, 0.29), int(100 * 0.29)
    (29, 28)
    """
    return int(Decimal(repr(fraction)) * count)


_AXES = " along the axis F of `layout`"


def _aligned(
    data: Dataset, in_size: int, objective: Objective, spec: TrainingSpec, pointer: str, *, missing: bool
) -> Plan:
    inputs, targets = data.inputs, data.targets
    _check_size(inputs.shape[2], {in_size}, f"{pointer}/inputs", "features", _AXES)
    _check_size(targets.shape[2], objective.target_sizes, f"{pointer}/targets", "features", _AXES)
    _check_size(targets.shape[1], {inputs.shape[1]}, f"{pointer}/targets", "rows", ", as many as the inputs")
    steps = inputs.shape[0]
    scored = steps - spec.warmup - spec.skip
    if scored < 1:
        raise InvalidInput(
            "warmup and skip leave no step to score",
            pointer=f"{pointer}/inputs",
            expected=f"more than {spec.warmup + spec.skip} steps",
            actual=f"{steps} steps",
        )
    # All are aligned with the end. Other lengths are refused, because they may be shifted, such as T - skip.
    lengths = {scored, steps - spec.warmup, steps}
    hint = ": those that are scored, those after the warm-up, or all" if len(lengths) > 1 else ", as many as the inputs"
    _check_size(targets.shape[0], lengths, f"{pointer}/targets", "steps", hint)
    data = without_unread(data, spec.warmup + spec.skip, pointer)
    for name, array in (("inputs", data.inputs), ("targets", data.targets)):
        if not (missing and name == "inputs") and not np.isfinite(array).all():
            raise NotFinite(f"{name} hold a number that is not finite", pointer=f"{pointer}/{name}")
    compared, weights = read_targets(data, objective, targets.shape[0] - scored, spec.target_weights, pointer)
    left = None if data.lengths is None else (data.lengths - (steps - scored)).astype(np.int32)
    return Plan(np.ascontiguousarray(data.inputs, np.float32), compared, spec, left, weights)


def _check_size(actual: int, expected: set[int], pointer: str, what: str, hint: str) -> None:
    if actual not in expected:
        sizes = " or ".join(str(size) for size in sorted(expected))
        raise ShapeMismatch(
            f"expected {sizes} {what}{hint}; found {actual}",
            pointer=pointer,
            expected=f"{sizes} {what}",
            actual=f"{actual} {what}",
        )
