"""Divides long windows into segments, of which only one is in memory at a time."""

import numpy as np
from numpy.typing import NDArray

Lengths = NDArray[np.int32]


def cut(total: int, steps: int | None) -> tuple[slice, ...]:
    """Return the segments of `total` steps, each of `steps` steps except the last; one segment if `steps` is None."""
    length = max(1, total) if steps is None else steps
    return tuple(slice(begin, min(begin + length, total)) for begin in range(0, max(1, total), length))


def lengths_in(segment: slice, lengths: Lengths | None) -> Lengths | None:
    """Return the steps of each row in a segment, None if all rows have all steps."""
    return None if lengths is None else np.clip(lengths - segment.start, 0, segment.stop - segment.start)
