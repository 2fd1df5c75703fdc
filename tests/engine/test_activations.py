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
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Doubles) -> Doubles:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


REFERENCE: dict[str, Callable[[Doubles], Doubles]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}

TANH_LIMIT = 1 - 2.0**-22
"""What the ratio gives at its clamp and beyond: four units below one."""

SPECIAL: dict[str, list[tuple[float, float]]] = {
    "exp": [(np.inf, np.inf), (-np.inf, 0), (0, 1), (-0.0, 1), (89, np.inf), (-104, 0), (2.0**-149, 1)],
    "log": [(0, -np.inf), (-0.0, -np.inf), (1, 0), (-1, np.nan), (-np.inf, np.nan), (np.inf, np.inf)],
    "tanh": [(np.inf, TANH_LIMIT), (-9, -TANH_LIMIT), (0, 0), (-0.0, -0.0), (2.0**-149, 2.0**-149), (-1e-40, -1e-40)],
    "sigmoid": [(np.inf, 1), (-np.inf, 0), (0, 0.5), (-0.0, 0.5), (200, 1), (-200, 0)],
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


@pytest.mark.parametrize(("name", "bound"), [("exp", 1.1), ("log", 0.8), ("tanh", 4.5), ("softplus", 2.6)])
def test_errors_in_the_last_place(found: dict[str, Floats], name: str, bound: float) -> None:
    assert ulps(found[name], exact(name)).max() < bound


@pytest.mark.parametrize(("name", "bound"), [("tanh", 3e-7), ("sigmoid", 1e-7)])
def test_absolute_errors(found: dict[str, Floats], name: str, bound: float) -> None:
    assert np.abs(found[name] - exact(name)).max() < bound


def test_the_tail_of_sigmoid_is_accurate_and_never_turns(found: dict[str, Floats]) -> None:
    assert ascends(found["sigmoid"])
    tail = (SAMPLE > -87) & (SAMPLE < -1)
    assert ulps(found["sigmoid"][tail], exact("sigmoid")[tail]).max() < 2.5


def test_exp_and_log_never_turn(found: dict[str, Floats]) -> None:
    positive = SAMPLE > 0
    assert ascends(found["exp"])
    assert ascends(found["log"][positive])


def test_ranges(found: dict[str, Floats]) -> None:
    assert np.abs(found["tanh"]).max() < 1
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
