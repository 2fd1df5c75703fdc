"""Reads golden files, and says how far a float32 result may be from the float64 one."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

Array = NDArray[Any]

MARGIN = 8
"""Ours sums in another order than PyTorch and has its own activations (3e-7 absolute): a few times its rounding."""


def read(name: str) -> dict[str, Array]:
    """Return the arrays of a golden file."""
    return load((Path(__file__).parent / f"{name}.safetensors").read_bytes())


def part(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def assert_float64(actual: Array, golden: dict[str, Array], name: str) -> None:
    """Assert that a float64 result is the reference up to the last digits."""
    expected = golden[f"64.{name}"]
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12 * scale, err_msg=name)


def assert_float32(actual: Array, golden: dict[str, Array], name: str) -> None:
    """Assert that a float32 result errs no more than rounding explains.

    The bound is `MARGIN` times the larger of PyTorch's own float32 error on the same array and one unit in the last
    place of the array's largest element.
    """
    expected, peer = golden[f"64.{name}"], golden[f"32.{name}"]
    scale = float(np.abs(expected).max())
    bound = MARGIN * max(float(np.abs(peer - expected).max()), scale * 2.0**-23)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=name)
