"""Embeddings: looks up a row of a table for each id before the first layer, and computes the gradient of the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from cellar.engine import Floats, Ints
from cellar.errors import IdUnknown
from cellar.nn.model.initialisers import Fan, Shape, check_overrides, fans
from cellar.nn.spec.initialisers import Initialiser, Uniform

UNIT_VARIANCE = Uniform(uniform=(-1.7320508, 1.7320508))
"""The limit of the uniform distribution with variance one, which is the initial variance in PyTorch and Flux."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The shape and the initialiser of the table. It holds no weights."""

    shape: Shape
    """(ids, numbers for each)"""
    init: Initialiser
    fan: Fan
    name: str = "0.W"

    @classmethod
    def of(cls, shape: Shape, overrides: Mapping[str, Initialiser], pointer: str) -> Self:
        """Return an embedding with initialisers of a request. Raise InvalidInput with a pointer below `pointer`."""
        shapes = {"W": shape}
        check_overrides(overrides, shapes, f"{pointer}/init")
        return cls(shape, overrides.get("W", UNIT_VARIANCE), fans(shapes)["W"])

    @property
    def count(self) -> int:
        """Return the number of ids."""
        return self.shape[0]

    @property
    def out_size(self) -> int:
        """Return the number of outputs for an id."""
        return self.shape[1]

    def check(self, inputs: Floats, pointer: str) -> None:
        """Raise IdUnknown unless all inputs (T, B, 1) are ids of the table."""
        ids = inputs[:, :, 0]
        unknown = ~((ids >= 0) & (ids < self.count) & (ids == np.floor(ids)))
        if unknown.any():
            step, row = np.argwhere(unknown)[0].tolist()
            raise IdUnknown(
                f"no id of the embedding: step {step}, row {row}, from 0",
                pointer=pointer,
                expected=f"a whole number from 0 to {self.count - 1}",
                actual=f"{ids[step, row]:.9g}",
            )


def look_up(table: Floats, inputs: Floats) -> Floats:
    """Return the rows (T, B, out_size) of ids (T, B, 1) that were checked."""
    found: Floats = table[inputs[:, :, 0].astype(np.intp)]
    return found


def add_table_gradient(gradient: Floats, inputs: Floats, d_found: Floats, lengths: Ints | None) -> None:
    """Add to the gradient of the table (ids, out_size): for each id the sum over its places, t descending, b ascending.

    `inputs` (T, B, 1), `d_found` (T, B, out_size); steps at and past a row's length are left out.
    """
    ids = inputs[::-1, :, 0].astype(np.intp)
    alive = np.ones(ids.shape, np.bool_)
    if lengths is not None:
        alive = np.arange(len(ids))[::-1, None] < lengths[None, :]
    np.add.at(gradient, ids[alive], d_found[::-1][alive])
