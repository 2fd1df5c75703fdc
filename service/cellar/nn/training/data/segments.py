"""Long windows in segments of a few steps, which are in memory one at a time."""

import numpy as np
from numpy.typing import NDArray

Lengths = NDArray[np.int32]


def cut(total: int, steps: int | None) -> tuple[slice, ...]:
    """Return segments of `steps` steps that make up `total`, the last one of what is left; one of all if None."""
    length = max(1, total) if steps is None else steps
    return tuple(slice(begin, min(begin + length, total)) for begin in range(0, max(1, total), length))


def lengths_in(segment: slice, lengths: Lengths | None) -> Lengths | None:
    """Return how many steps of a segment each row has, None if all have all."""
    return None if lengths is None else np.clip(lengths - segment.start, 0, segment.stop - segment.start)
