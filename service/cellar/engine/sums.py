"""Sums over many rows in the one shape that the arithmetic has."""

from cellar.engine.activations import kernel
from cellar.engine.memory import load, store
from cellar.engine.vector import add, zero

__all__ = ["lane_total"]


@kernel
def lane_total(g: int, g_row: int, width: int, steps: int, rows: int, sums: int, out: int) -> None:
    """Add to out (`width` bytes) the sum of g over all steps, descending, and rows, ascending, in the lane shape.

    The i-th term goes to sum i mod 16, and the sixteen sums, at `sums`, are added by a halving tree.
    """
    for column in range(0, width, 64):
        for lane in range(16):
            store(sums + 64 * lane, zero())
        i = 0
        for t in range(steps - 1, -1, -1):
            for b in range(rows):
                place = sums + 64 * (i & 15)
                store(place, add(load(place), load(g + (t * rows + b) * g_row + column)))
                i += 1
        distance = 8
        while distance:
            for lane in range(distance):
                place = sums + 64 * lane
                store(place, add(load(place), load(place + 64 * distance)))
            distance //= 2
        store(out + column, add(load(out + column), load(sums)))
