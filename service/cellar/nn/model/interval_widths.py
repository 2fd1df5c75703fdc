"""Widths of intervals that follow the errors of a session's own forecasts, as equations with constant vectors.

For each step ahead and target a session keeps a factor of the width. A forecast is kept until the reading that it is
for has come. Outside the interval of 80% the factor grows by exp(0.8 rate), inside it shrinks by exp(-0.2 rate), so
that it stays the same on average if one of five readings is outside (adaptive conformal inference, Gibbs and Candes
2021, on the logarithm of the width). Then the newest forecast is kept. So forecasts k steps ahead are compared every k
steps, which needs no more than one of them in the state; they move the factor by more, because they are fewer.

The equations have no comparison. A difference times 1e30, cut to 0 and 1, says whether it is above 0, and
relu(1 - |n|) whether a whole number n is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cellar.engine import INPUT, Cell, Floats, Signal, build_cell
from cellar.nn.model.initialisers import Exact
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.session_scale import SessionScale
from cellar.nn.numerics.distributions import exp
from cellar.nn.readings.layout import Layout
from cellar.nn.spec.base import Frozen

Doubles = NDArray[np.float64]

OUTSIDE = 0.2
"""The share of readings outside the interval whose width is adapted."""

ENDS = 0.1, 0.5, 0.9
"""The levels of the ends of that interval, and of its centre."""

MOST, LEAST = 1024.0, 1 / 1024
"""The limits of factors."""

MOST_OFTEN = 8
"""The factor of a forecast more steps ahead moves by no more than that of one of this number of steps."""

CELL = """
param T: targets x e
param P: targets x e
param R: in x targets
param scale: in
param shift: in
param centre: in
param low: in
param high: in
param grow: in
param shrink: in
param steps: in
state factor: in
state kept: in
state left: in
state last: in
reading = scale * (R @ (T @ e)) + shift
d = reading - (kept + centre)
due = relu(1 - abs(left - 1)) * (R @ (P @ e))
outside = max(min(max(d - factor * high, -d - factor * low) * 1e30, 1), 0)
factor = max(min(factor * (1 + due * (outside * grow - shrink)), 1024), 0.0009765625)
rest = relu(left - 1)
ended = relu(1 - rest)
left = rest + ended * steps
now = scale * x + shift
kept = ended * now + (1 - ended) * kept
last = now
"""


SESSION_CELL = """
param T: targets x e
param P: targets x e
param R: in x targets
param A: in x z
param B: in x z
param S: targets x z
param centre: in
param low: in
param high: in
param grow: in
param shrink: in
param steps: in
state factor: in
state kept: in
state left: in
state scale: targets
state last: in
s = A @ z
d = (R @ (T @ e) - kept) / s - centre
due = relu(1 - abs(left - 1)) * (R @ (P @ e))
outside = max(min(max(d - factor * high, -d - factor * low) * 1e30, 1), 0)
factor = max(min(factor * (1 + due * (outside * grow - shrink)), 1024), 0.0009765625)
rest = relu(left - 1)
ended = relu(1 - rest)
left = rest + ended * steps
now = s * x + B @ z
kept = ended * now + (1 - ended) * kept
scale = S @ z
last = now
"""
"""The same with the scale of the session, in which residuals are; forecasts and readings are in units of targets."""


class Adaptation(Frozen):
    """The width of a session's intervals follows the errors of its own forecasts: each has a factor for it."""

    rate: Annotated[float, Field(gt=0, le=1)] = Field(
        description="By how much a reading moves the logarithm of the width."
    )
    factors: Annotated[
        tuple[Annotated[float, Field(ge=LEAST, le=MOST)], ...], Field(strict=False, max_length=1_000_000)
    ] = Field(description="The factors of a new session, by step of the horizon and target.")


@dataclass(frozen=True, slots=True)
class Widths:
    """The constants of the equations, each (horizon x targets,)."""

    centre: Floats
    low: Floats
    high: Floats
    grow: Floats
    shrink: Floats
    steps: Floats
    factors: Floats

    @classmethod
    def of(cls, adaptation: Adaptation, ends: Doubles) -> "Widths":
        """Return the constants for residuals `ends` (horizon, targets, 3) at the levels of `ENDS`."""
        horizon, targets = ends.shape[:2]
        low, centre, high = (ends[..., index].reshape(-1) for index in range(3))
        steps = np.repeat(np.arange(1.0, horizon + 1), targets)
        rate = adaptation.rate * np.sqrt(np.minimum(steps, MOST_OFTEN))
        shrink = 1 - exp(-OUTSIDE * rate)
        grow = exp((1 - OUTSIDE) * rate) - 1 + shrink
        factors = np.array(adaptation.factors)
        found = (centre, centre - low, high - centre, grow, shrink, steps, factors)
        return cls(*(each.astype(np.float32) for each in found))


def places_of(layout: Layout, names: Sequence[str], *, session_scale: bool = False) -> list[int] | None:
    """Return where the reading of each target is among the encoded numbers; None if one is not read as it was sent.

    Its presence is as many places later as there are carried numbers. With `session_scale` the encoded numbers are in
    units of the columns.
    """
    carried = {layout.columns[each.column].name: index for index, each in enumerate(layout.carried)}
    plain = {column.name for at, column in layout.numbers if layout.part(at) == "values" and not column.per_series}
    plain = {column.name for _, column in layout.scaled} if session_scale else plain
    return [carried[name] for name in names] if all(name in carried and name in plain for name in names) else None


def adapted_layer(
    widths: Widths, scale: Floats, shift: Floats, layout: Layout, places: Sequence[int], signal: Signal, pointer: str
) -> Layer:
    """Return the forecast layer, which reads `signal` and the encoded readings of the targets at these places.

    `scale` and `shift` (horizon x targets,) take outputs, and readings, to units of the targets.
    """
    constants = _constants(widths, layout, places, len(scale)) | {"scale": scale, "shift": shift}
    return _layer(adapted_cell(len(scale), len(places), layout.encoded_size), constants, (signal, INPUT), pointer)


def session_layer(
    widths: Widths, scales: SessionScale, layout: Layout, places: Sequence[int], signals: Sequence[Signal], pointer: str
) -> Layer:
    """Return the forecast layer with scales of the session. `signals` are the network's outputs, and these scales."""
    size, count = len(widths.steps), len(places)
    constants = _constants(widths, layout, places, size) | scales.constants
    constants["T"] = scales.units[:, None] * constants["T"]
    constants["scale0"] = np.zeros(count, np.float32)
    sizes = {"in": size, "targets": count, "e": layout.encoded_size, "z": scales.size}
    cell = build_cell(SESSION_CELL.strip(), sizes, inputs=("x", "e", "z"))
    return _layer(cell, constants, (signals[0], INPUT, signals[1]), pointer)


def _layer(cell: Cell, constants: dict[str, Floats], reads: tuple[Signal, ...], pointer: str) -> Layer:
    named = {name: Exact.of(values) for name, values in constants.items()}
    layer = make_layer(cell, "forecast", {}, pointer, trainable_state=True, named=named)
    return layer.frozen_as("", 0, "", reads)


def _constants(widths: Widths, layout: Layout, places: Sequence[int], size: int) -> dict[str, Floats]:
    """Return the constants of a layer with `size` outputs, besides those of its scale."""
    count, encoded = len(places), layout.encoded_size
    taken: Floats = np.zeros((2, count, encoded), np.float32)
    taken[0, np.arange(count), [*places]] = 1
    taken[1, np.arange(count), [len(layout.carried) + place for place in places]] = 1
    constants = {"T": taken[0], "P": taken[1], "R": np.tile(np.eye(count, dtype=np.float32), (size // count, 1))}
    constants |= {name: getattr(widths, name) for name in ("centre", "low", "high", "grow", "shrink", "steps")}
    zeros: Floats = np.zeros(size, np.float32)
    return constants | {"factor0": widths.factors, "kept0": zeros, "left0": zeros, "last0": zeros}


def adapted_cell(size: int, targets: int, encoded: int) -> Cell:
    """Return the cell of a layer with `size` outputs."""
    return build_cell(CELL.strip(), {"in": size, "targets": targets, "e": encoded}, inputs=("x", "e"))
