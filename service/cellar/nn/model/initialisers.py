"""Initial values of parameters. They are computed in float64 and rounded once, so all machines get the same."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.errors.suggestions import suggestion
from cellar.nn.numerics.portable_math import log, log_tan
from cellar.nn.numerics.random_streams import uniforms
from cellar.nn.spec.initialisers import Constant, FanIn, Initialiser, Phase, Ring, Uniform

Shape = tuple[int, ...]
Fan = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Exact:
    """The values themselves, of a parameter that is not trained. No request has this initialiser."""

    data: bytes

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the initialiser with these values."""
        return cls(values.astype("<f4").tobytes())


Initial = Initialiser | Exact


def default(shape: Shape) -> Initialiser:
    """Return the default initialiser of a shape: Glorot uniform for matrices, zeros for the rest."""
    return "glorot_uniform" if len(shape) == 2 else "zeros"


def fans(shapes: Mapping[str, Shape], stacked: tuple[tuple[str, ...], ...] = ()) -> dict[str, Fan]:
    """Return (fan in, fan out) of each parameter; a stacked group counts as one matrix with all its rows."""
    found = {name: (shape[-1], shape[0]) if len(shape) == 2 else (1, *shape, 1)[:2] for name, shape in shapes.items()}
    for group in stacked:
        rows = sum(shapes[name][0] for name in group)
        found |= {name: (shapes[name][1], rows) for name in group}
    return {name: (fan[0], fan[1]) for name, fan in found.items()}


def draw(how: Initial, shape: Shape, fan: Fan, seed: int, stream: str) -> Floats:
    """Return a float32 array of that shape with initial values.

    glorot_uniform (Glorot and Bengio 2010) as Flux computes it: (u - 1/2) sqrt(24 / (fan in + fan out)), u in [0, 1).
    ring and phase: Orvieto et al. 2023, arXiv:2303.06349, lemma 3.2; uniform on a ring is uniform in the squared
    modulus. `stream` is the name of the parameter: random values depend only on it and on the seed.
    """
    if isinstance(how, Exact):
        return np.frombuffer(how.data, "<f4").reshape(shape).astype(np.float32)
    if isinstance(how, Constant):
        return np.full(shape, how.constant, dtype=np.float32)
    if not isinstance(how, str):
        return _rounded(_spread(how, fan, _uniforms(shape, seed, stream)))
    match how:
        case "zeros":
            return np.zeros(shape, dtype=np.float32)
        case "ones":
            return np.ones(shape, dtype=np.float32)
        case "identity":
            return np.eye(*shape, dtype=np.float32)
        case "glorot_uniform":
            return _rounded((_uniforms(shape, seed, stream) - 0.5) * math.sqrt(24 / sum(fan)))


def _spread(how: Uniform | FanIn | Ring | Phase, fan: Fan, u: NDArray[np.float64]) -> NDArray[np.float64]:
    match how:
        case Uniform(uniform=bounds):
            return _between(bounds, u)
        case FanIn(fan_in=variance):
            return (u - 0.5) * math.sqrt(12 * variance / fan[0])
        case Ring(ring=(low, high)):
            return log(-log(np.sqrt(_between((low * low, high * high), u))))
        case Phase(phase=bounds):
            return log_tan(_between(bounds, u) / 2)


def _between(bounds: tuple[float, float], u: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = bounds
    return low + u * (high - low)


def check_overrides(init: Mapping[str, Initialiser], shapes: Mapping[str, Shape], pointer: str) -> None:
    """Raise InvalidInput for an initialiser of an unknown name, or one that cannot fill its parameter's shape."""
    for name, how in init.items():
        if name not in shapes:
            raise InvalidInput(
                f"no parameter is named {name!r}{suggestion(name, shapes)}",
                pointer=f"{pointer}/{name}",
                expected=f"one of {', '.join(shapes)}",
                actual=name,
            )
        if (how == "identity" or isinstance(how, FanIn)) and len(shapes[name]) != 2:
            raise InvalidInput(f"{name!r} is not a matrix", pointer=f"{pointer}/{name}", expected="a matrix")


def _uniforms(shape: Shape, seed: int, stream: str) -> NDArray[np.float64]:
    return uniforms(seed, stream, math.prod(shape)).reshape(shape)


def _rounded(values: NDArray[np.float64]) -> Floats:
    return values.astype(np.float32)
