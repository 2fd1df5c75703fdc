"""How data is cut into the windows that a run backpropagates through, and in which order they come.

::

    state: reset                                    state: carry

    row  [ warmup | skip | scored ]                 row  [ warmup | skip | scored | scored | scored ]
         .........[ warmup | skip | scored ]                      [ window       ][window ][window ]
         ........ ........[ warmup | skip | scored ]

Scored stretches follow each other without gap or overlap; the last one of a row may be shorter.

Where a fraction of the steps is held out for validation, they are the last ones::

    one sequence a row (carry, or no window)        independent windows (reset with a window)

    row  [ trained          ][ held out ]           row  [ trained      ][ trained       ]
         [ warms the state  ][ scored   ]                      [ warmup | skip | held out ]
"""

import functools
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.numerics.random_streams import permutation
from cellar.nn.spec.training import Dataset, TrainingSpec
from cellar.nn.training.targets import read_targets

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]
Pair = tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one update learns from. All arrays are (T, B, F)."""

    warmup: Array | None
    """Inputs to warm the state with; None if the state flows in from the batch before."""
    inputs: Array
    targets: Array
    """Of the outputs from `skip` on."""
    skip: int
    lengths: Lengths | None
    """Steps of each row in `inputs`, None if all are of full length."""

    @property
    def scored_lengths(self) -> Lengths | None:
        """Return the steps of each row in `targets`."""
        return None if self.lengths is None else self.lengths - np.int32(self.skip)

    @property
    def scored(self) -> int:
        """Return how many steps are scored, over all rows."""
        steps, rows, _ = _sizes(self.targets)
        return steps * rows if self.lengths is None else sum(self.lengths.tolist()) - rows * self.skip


class Room:
    """Memory for batches: those of one shape follow each other in the same place."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], Array] = {}

    def array(self, use: str, shape: tuple[int, ...]) -> Array:
        """Return an array for one use."""
        key = (use, shape)
        found = self._arrays.get(key)
        if found is None:
            found = np.empty(shape, np.float32)
            if len(self._arrays) < _SHAPES_KEPT:
                self._arrays[key] = found
        return found


_SHAPES_KEPT = 16


@dataclass(frozen=True)
class Plan:
    """Aligned data of a run: `targets` begin with the target of output `warmup + skip`."""

    inputs: Array
    targets: Array
    spec: TrainingSpec
    room: Room = field(default_factory=Room)

    @functools.cached_property
    def window(self) -> int:
        """Return the steps of a window: `skip` and what is scored."""
        return min(self.spec.window or self.longest, self.longest)

    @property
    def longest(self) -> int:
        """Return how many steps a window can have."""
        return _sizes(self.inputs)[0] - self.spec.warmup

    @functools.cached_property
    def windows(self) -> int:
        """Return how many windows a row has."""
        if self.spec.state == "carry":
            return -(-(_sizes(self.inputs)[0] - self.spec.warmup) // self.window)
        return -(-_sizes(self.targets)[0] // (self.window - self.spec.skip))

    @functools.cached_property
    def updates(self) -> int:
        """Return how many batches an epoch has."""
        rows = _sizes(self.inputs)[1]
        if self.spec.state == "carry":
            return -(-rows // self.spec.batch_size) * self.windows
        return -(-rows * self.windows // self.spec.batch_size)

    def batch(self, order: NDArray[np.int64], index: int) -> Batch:
        """Return a batch of an epoch, by the epoch's order. Its arrays are valid until the next one is asked for."""
        if self.spec.state == "carry":
            return self._carried(order, index)
        return self._whole(order, index) if self.windows == 1 else self._independent(order, index)

    def order(self, epoch: int | None) -> NDArray[np.int64]:
        """Return the order of windows (reset) or rows (carry) in an epoch; of None, as they stand."""
        rows = self.inputs.shape[1]
        count = rows if self.spec.state == "carry" else rows * self.windows
        return np.arange(count) if epoch is None else permutation(self.spec.seed, f"epoch {epoch}", count)

    def _carried(self, order: NDArray[np.int64], index: int) -> Batch:
        group, window = divmod(index, self.windows)
        rows = order[group * self.spec.batch_size :][: self.spec.batch_size]
        warmup, skip = self.spec.warmup, self.spec.skip
        begin = warmup + window * self.window
        first = begin - warmup - skip
        return Batch(
            self._chosen("warmup", self.inputs, rows, slice(0, warmup)) if window == 0 else None,
            self._chosen("inputs", self.inputs, rows, slice(begin, begin + self.window)),
            self._chosen("targets", self.targets, rows, slice(max(0, first), first + self.window)),
            skip if window == 0 else 0,
            None,
        )

    def _whole(self, order: NDArray[np.int64], index: int) -> Batch:
        rows = order[index * self.spec.batch_size :][: self.spec.batch_size]
        warmup, skip = self.spec.warmup, self.spec.skip
        return Batch(
            self._chosen("warmup", self.inputs, rows, slice(0, warmup)),
            self._chosen("inputs", self.inputs, rows, slice(warmup, warmup + self.window)),
            self._chosen("targets", self.targets, rows, slice(0, self.window - skip)),
            skip,
            None,
        )

    def _gathered(
        self,
        use: str,
        array: Array,
        rows: NDArray[np.int64],
        begins: NDArray[np.int64],
        steps: int,
        lengths: NDArray[np.int32],
    ) -> Array:
        """Return (steps, B, F): of each chosen row the steps from its beginning on, zeros past its length."""
        steps_ahead = np.arange(steps)[:, None]
        at = np.minimum(begins + steps_ahead, array.shape[0] - 1) * array.shape[1] + rows
        out = self.room.array(use, (steps, len(rows), array.shape[2]))
        array.reshape(-1, array.shape[2]).take(at, axis=0, out=out, mode="clip")
        if int(lengths.min()) < steps:
            out[steps_ahead >= lengths] = 0
        return out

    def _chosen(self, use: str, array: Array, rows: NDArray[np.int64], steps: slice) -> Array:
        """Return (steps, B, F) of the chosen rows."""
        part = array[steps]
        out = self.room.array(use, (len(part), len(rows), array.shape[2]))
        return part.take(rows, axis=1, out=out, mode="clip") if out.size else out

    def _independent(self, order: NDArray[np.int64], index: int) -> Batch:
        chosen = order[index * self.spec.batch_size :][: self.spec.batch_size]
        rows, windows = np.divmod(chosen, self.windows)
        warmup, skip = self.spec.warmup, self.spec.skip
        scored = self.window - skip
        begins = windows * scored
        lengths = np.minimum(self.targets.shape[0] - begins, scored).astype(np.int32)
        longest = int(lengths.max())
        return Batch(
            self._gathered("warmup", self.inputs, rows, begins, warmup, lengths + warmup),
            self._gathered("inputs", self.inputs, rows, begins + warmup, skip + longest, lengths + skip),
            self._gathered("targets", self.targets, rows, begins, longest, lengths),
            skip,
            None if int(lengths.min()) == longest else lengths + np.int32(skip),
        )


def split(
    data: Dataset, out_size: int, in_size: int, spec: TrainingSpec, *, stateful: bool = True
) -> tuple[Plan, Plan | None]:
    """Return the plans of training and of validation, aligned and checked.

    `stateful`: the network has a state that goes on from one stretch of steps to the next. One that reads whole
    sequences has none.

    Raise ShapeMismatch, InvalidInput or NotFinite with a pointer below /data, and InvalidInput for settings that do
    not fit the data.
    """
    training = _aligned((data.inputs, data.targets), in_size, out_size, spec, "/data")
    if spec.validation is None:
        if data.validation is None:
            return training, None
        return training, _aligned(data.validation, in_size, out_size, spec, "/data/validation")
    if data.validation is not None:
        raise InvalidInput("validation is both a fraction and data of its own", pointer="/validation")
    return _held_out(training, spec.validation, stateful=stateful)


def check_window(plan: Plan) -> None:
    """Raise InvalidInput for a window that is longer than what there is to train on.

    A run that has begun cuts it to that length, as earlier versions did.
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


def _held_out(plan: Plan, fraction: float, *, stateful: bool) -> tuple[Plan, Plan]:
    """Cut the last part off: rows if there are several independent ones, else scored steps."""
    spec, rows = plan.spec, plan.inputs.shape[1]
    by_rows = rows > 1 and spec.state == "reset" and spec.window is None
    whole = rows if by_rows else plan.targets.shape[0]
    held = max(1, share_of(whole, fraction))
    kept = whole - held
    if kept < 1:
        raise InvalidInput("nothing would be left to train on", pointer="/validation", actual=f"{whole} to divide")
    if by_rows:
        kept_rows, held_rows = (
            Plan(np.ascontiguousarray(plan.inputs[:, cut]), np.ascontiguousarray(plan.targets[:, cut]), spec)
            for cut in (slice(None, kept), slice(kept, None))
        )
        return kept_rows, held_rows
    before = spec.warmup + spec.skip + kept
    training = Plan(plan.inputs[:before], plan.targets[:kept], spec)
    if stateful and (spec.state == "carry" or plan.windows == 1):
        # Trained and held-out steps are one sequence: all steps before the held-out ones warm the state for them.
        goes_on = spec.model_copy(update={"warmup": before, "skip": 0})
        return training, Plan(plan.inputs, plan.targets[kept:], goes_on)
    return training, Plan(plan.inputs[kept:], plan.targets[kept:], spec)


def share_of(count: int, fraction: float) -> int:
    """Return the whole part of `fraction * count`, computed with the decimal digits that the fraction is written in.

    >>> share_of(100, 0.29), int(100 * 0.29)
    (29, 28)
    """
    return int(Decimal(repr(fraction)) * count)


_AXES = " along the axis F of `layout`"


def _aligned(pair: Pair, in_size: int, out_size: int, spec: TrainingSpec, pointer: str) -> Plan:
    inputs, targets = pair
    _check_size(inputs.shape[2], {in_size}, f"{pointer}/inputs", "features", _AXES)
    classes = spec.loss.type == "cross_entropy"
    if classes and out_size == 1:
        raise InvalidInput("cross_entropy compares at least two outputs", pointer="/loss", actual="one output")
    _check_size(targets.shape[2], {out_size, 1} if classes else {out_size}, f"{pointer}/targets", "features", _AXES)
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
    # All are aligned with the end. Other lengths may be shifted by mistake, T - skip after a warm-up for one.
    lengths = {scored, steps - spec.warmup, steps}
    hint = ": those that are scored, those after the warm-up, or all" if len(lengths) > 1 else ", as many as the inputs"
    _check_size(targets.shape[0], lengths, f"{pointer}/targets", "steps", hint)
    for name, array in (("inputs", inputs), ("targets", targets)):
        if not np.isfinite(array).all():
            raise NotFinite(f"{name} hold a number that is not finite", pointer=f"{pointer}/{name}")
    targets = read_targets(
        targets, spec.loss.type, out_size, first=targets.shape[0] - scored, pointer=f"{pointer}/targets"
    )
    return Plan(np.ascontiguousarray(inputs, np.float32), np.ascontiguousarray(targets, np.float32), spec)


def _sizes(array: Array) -> tuple[int, int, int]:
    """Return the shape of (T, B, F)."""
    steps, rows, features = array.shape
    return steps, rows, features


def _check_size(actual: int, expected: set[int], pointer: str, what: str, hint: str) -> None:
    if actual not in expected:
        sizes = " or ".join(str(size) for size in sorted(expected))
        raise ShapeMismatch(
            f"expected {sizes} {what}{hint}; found {actual}",
            pointer=pointer,
            expected=f"{sizes} {what}",
            actual=f"{actual} {what}",
        )
