"""Scales that a session keeps: how a forecast layer takes scaled outputs back to the units of its targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from cellar.engine import Floats, Signal, build_cell
from cellar.nn.model.initialisers import Exact
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.readings.layout import Layout

CELL = """param A: in x z
param B: in x z
param S: targets x z
param u: in
state last: in
state scale: targets
last = (A @ z + u) * ({terms}) + B @ z
scale = S @ z
output = last"""
"""Outputs whose row of A is 0 have no scale: u is 1 for them."""


@dataclass(frozen=True, slots=True)
class SessionScale:
    """The matrices that take scale and shift of each output from those of the columns, which are in their units."""

    constants: dict[str, Floats]
    """`A` and `B` (outputs, size) for scale and shift of each output, `S` (targets, size) for the scale of a target."""
    units: Floats
    """The unit of each target, (targets,)."""
    columns: tuple[int, ...]
    """The place of each target among the columns whose scale a session keeps."""
    size: int
    """Twice the number of those columns: their scales, then their shifts."""

    @classmethod
    def of(cls, layout: Layout, names: Sequence[str], shifted: Floats, scaled: Floats) -> Self | None:
        """Return those of targets with these names; None if a session does not keep the scale of one.

        `shifted` and `scaled` (horizon, targets, outputs of each) are 1 for outputs with the shift and the scale of
        their target, and 0 for others, such as the degrees of freedom of a distribution.
        """
        place = {column.name: index for index, (_, column) in enumerate(layout.scaled)}
        if not names or not all(name in place for name in names):
            return None
        columns = tuple(place[name] for name in names)
        fits = [layout.scaled[column][1].fitted for column in columns]
        units = np.array([1.0 if fitted is None else fitted.unit for fitted in fits], np.float32)
        count, targets = len(layout.scaled), np.arange(len(names))
        taken: Floats = np.zeros((2, len(names), 2 * count), np.float32)
        taken[0, targets, [*columns]] = units
        taken[1, targets, [count + column for column in columns]] = units
        matrices = [
            (numbers[..., None] * each[:, None]).reshape(-1, 2 * count)
            for numbers, each in ((scaled, taken[0]), (shifted, taken[1]))
        ]
        constants = {"A": matrices[0], "B": matrices[1], "S": taken[0]}
        return cls(constants, units, columns, 2 * count)

    def layer(self, terms: str, constants: Mapping[str, Floats], reads: tuple[Signal, Signal], pointer: str) -> Layer:
        """Return a forecast layer that reads the outputs of a network and the scales of the session.

        `terms` are the outputs as an expression, in the scale of the targets, with `constants` (outputs,).
        """
        declared = "".join(f"param {name}: in\n" for name in constants)
        sizes = {"in": len(self.constants["A"]), "targets": len(self.units), "z": self.size}
        cell = build_cell(declared + CELL.format(terms=terms), sizes, inputs=("x", "z"))
        unscaled = np.asarray(~self.constants["A"].any(axis=1), np.float32)
        named = {name: Exact.of(values) for name, values in {**constants, **self.constants, "u": unscaled}.items()}
        return make_layer(cell, "forecast", {}, pointer, named=named).frozen_as("", 0, "", reads)
