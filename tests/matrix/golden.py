"""Reads what PyTorch made of the quick combinations, and of the settings."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.matrix.cases import Array, Case
from tests.matrix.compare import Result
from tests.matrix.settings import Setting

FILE = Path(__file__).parent / "golden.safetensors"
SETTINGS_FILE = Path(__file__).parent / "settings.safetensors"


@cache
def _read() -> dict[str, NDArray[np.float64]]:
    return load(FILE.read_bytes()) | load(SETTINGS_FILE.read_bytes())


def read(case: Case | Setting) -> tuple[Result, Result]:
    """Return PyTorch's training in float64 and in float32."""
    shapes = Network(NetworkSpec.model_validate(case.network())).parameters
    return _result(case, "64", shapes), _result(case, "32", shapes)


def _result(case: Case | Setting, bits: str, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Result:
    joined: Array = _read()[f"{case.name}.{bits}.weights"]
    weights, at = {}, 0
    for name, shape in shapes:
        size = int(np.prod(shape))
        weights[name] = joined[at : at + size].reshape(shape)
        at += size
    return Result(_read()[f"{case.name}.{bits}.losses"], weights)
