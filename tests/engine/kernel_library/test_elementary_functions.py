"""The engine's own functions against float64, over a dense sample of all float32."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engine.probe import Floats, Probe

Doubles = NDArray[np.float64]

BITS = np.arange(0, 2**32, 4093, dtype=np.uint64).astype(np.uint32)
SAMPLE = np.sort(BITS[: BITS.size // 16 * 16].view(np.float32))
SAMPLE = np.ascontiguousarray(SAMPLE[~np.isnan(SAMPLE)])
SAMPLE = SAMPLE[: SAMPLE.size // 16 * 16]


def _sigmoid(x: Doubles) -> Doubles:
    w = np.exp(-np.abs(x))
    return np.asarray(np.where(x > 0, 1, w) / (1 + w))


def _softplus(x: Doubles) -> Doubles:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


REFERENCE: dict[str, Callable[[Doubles], Doubles]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}

SPECIAL: dict[str, list[tuple[float, float]]] = {
    "exp": [(np.inf, np.inf), (-np.inf, 0), (0, 1), (-0.0, 1), (89, np.inf), (-104, 0), (2.0**-149, 1)],
    "log": [(0, -np.inf), (-0.0, -np.inf), (1, 0), (-1, np.nan), (-np.inf, np.nan), (np.inf, np.inf)],
    "tanh": [(np.inf, 1), (-np.inf, -1), (0, 0), (-0.0, -0.0), (2.0**-149, 2.0**-149), (-1e-40, -1e-40), (3e38, 1)],
    "sigmoid": [(np.inf, 1), (-np.inf, 0), (0, 0.5), (-0.0, 0.5), (200, 1), (-200, 0), (-3e38, 0), (1e-45, 0.5)],
    "softplus": [(np.inf, np.inf), (-np.inf, 0), (3e38, 3e38), (-200, 0), (0, np.log(2))],
}


@pytest.fixture(scope="module")
def found(probe: Probe) -> dict[str, Floats]:
    """Return every function over the sample, which ascends."""
    return probe(SAMPLE)


def exact(name: str) -> Doubles:
    """Return the reference over the sample, infinite where it is beyond float32."""
    with np.errstate(all="ignore"):
        value = REFERENCE[name](SAMPLE.astype(np.float64))
        return np.where(np.isfinite(value.astype(np.float32)) | np.isnan(value), value, np.copysign(np.inf, value))


def ulps(ours: Floats, value: Doubles) -> Doubles:
    """Return errors in units in the last place of the exact value, of normal numbers' at least."""
    finite = np.isfinite(value)
    np.testing.assert_array_equal(ours[~finite], value[~finite].astype(np.float32))
    place = np.spacing(np.maximum(np.abs(value[finite]), 2.0**-126).astype(np.float32))
    return np.asarray(np.abs(ours[finite] - value[finite]) / place)


def ascends(values: Floats) -> bool:
    """Return whether no value is below the one before."""
    return bool((values[1:] >= values[:-1]).all())


@pytest.mark.parametrize(
    ("name", "bound"), [("exp", 1.1), ("log", 0.8), ("tanh", 1.8), ("sigmoid", 2.4), ("softplus", 2.7)]
)
def test_errors_in_the_last_place(found: dict[str, Floats], name: str, bound: float) -> None:
    assert ulps(found[name], exact(name)).max() < bound


@pytest.mark.parametrize(("name", "bound"), [("tanh", 1e-7), ("sigmoid", 1e-7)])
def test_absolute_errors(found: dict[str, Floats], name: str, bound: float) -> None:
    assert np.abs(found[name] - exact(name)).max() < bound


def test_sigmoid_never_turns(found: dict[str, Floats]) -> None:
    assert ascends(found["sigmoid"])


def test_tanh_and_sigmoid_are_symmetric(probe: Probe) -> None:
    above, below = probe(np.abs(SAMPLE)), probe(-np.abs(SAMPLE))
    np.testing.assert_array_equal(above["tanh"].view(np.uint32), (-below["tanh"]).view(np.uint32))
    assert np.abs(above["sigmoid"] + below["sigmoid"] - 1).max() <= 2.0**-23


ENDS = [
    ("tanh", 8, 11),
    ("sigmoid", 14, 20),
    ("sigmoid", -105, -86),
    ("softplus", 12, 20),
    ("softplus", -105, -86),
    ("exp", 87, 90),
    ("exp", -105, -86),
    ("exp", -(2.0**-24.3), -(2.0**-25.1)),
    ("log", 0, 2.0**-132),
    ("log", 2.0**-126.1, 2.0**-125.9),
    ("log", 0.99, 1.01),
    ("log", 2.0**127.9, 3.4e38),
]
"""Where functions reach their limits, zero or the subnormal numbers: each float32 there is looked at."""

AT_ONCE = 1 << 20


def every_float(first: float, last: float) -> Floats:
    """Return all float32 of one sign between two, by their bits, in whole vectors."""
    ends = sorted(int(np.float32(end).view(np.uint32)) for end in (first, last))
    return np.arange(ends[0], ends[0] + (ends[1] - ends[0]) // 16 * 16, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize(("name", "first", "last"), ENDS)
def test_ends(probe: Probe, name: str, first: float, last: float) -> None:
    arguments = every_float(first, last)
    for begin in range(0, arguments.size, AT_ONCE):
        x = arguments[begin : begin + AT_ONCE]
        with np.errstate(all="ignore"):
            value = REFERENCE[name](x.astype(np.float64))
            rounded = value.astype(np.float32)
        ours = probe(x)[name]
        assert ulps(ours, np.where(np.isinf(rounded), rounded, value)).max() < 2.4
        reached = rounded == 0
        if name in ("tanh", "sigmoid"):
            reached |= np.abs(rounded) == 1
        np.testing.assert_array_equal(ours[reached], rounded[reached])


def test_the_gradient_of_a_saturated_tanh_is_zero(probe: Probe) -> None:
    x = np.full(16, 1e4, np.float32)
    y = probe(x)["tanh"]
    assert (1 - y * y == 0).all()


def test_exp_and_log_never_turn(found: dict[str, Floats]) -> None:
    positive = SAMPLE > 0
    assert ascends(found["exp"])
    assert ascends(found["log"][positive])


def test_ranges(found: dict[str, Floats]) -> None:
    assert np.abs(found["tanh"]).max() == 1
    assert found["sigmoid"].min() >= 0
    assert found["sigmoid"].max() <= 1
    assert found["softplus"].min() >= 0


@pytest.mark.parametrize("name", SPECIAL)
def test_special_numbers(probe: Probe, name: str) -> None:
    arguments, values = (np.array(column, np.float32) for column in zip(*SPECIAL[name], strict=True))
    padded = np.resize(arguments, 16)
    ours = probe(padded)[name][: arguments.size]
    np.testing.assert_allclose(ours, values, rtol=1.2e-7, atol=0)
    zeros = values == 0
    np.testing.assert_array_equal(np.signbit(ours[zeros]), np.signbit(values[zeros]))


@pytest.mark.parametrize("name", REFERENCE)
def test_nan_passes_through(probe: Probe, name: str) -> None:
    bits = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF] * 4, np.uint32)
    assert np.isnan(probe(bits.view(np.float32))[name]).all()
