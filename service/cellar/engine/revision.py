"""The revision of the arithmetic, and a check that this machine keeps it.

Every bit of a result follows from the equations and the rules of the arithmetic. Sessions are pinned to the revision,
so a machine whose processor, compiler or build computes other bits must not serve them.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cellar.engine.cache import KernelCache
from cellar.engine.cell import Cell, build_cell
from cellar.engine.kernel import compile_cell
from cellar.errors import StartupError

KERNEL_REV = 1
"""The revision of the arithmetic of serving: any change that can change a bit of an output or a state raises it."""

TRAINING_REV = 2
"""The revision of training: any change of backward kernels, losses, optimisers, initialisers or batches that can change
a bit of trained weights raises it. Sessions do not depend on it. Checkpoints do, and on KERNEL_REV too."""

GOLDEN_FORWARD = "a0822a352f96206a11f64108a83e1f6ac1c2686d4771a3de71518c83cbed4c7f"
GOLDEN_TRAINING = "d9189f6c7f7ca8d372a4def43492a52801a3215cfc746eb7de3da8c05729e8ae"
"""sha256 of what the golden cell computes; they change with KERNEL_REV, and never without it."""

_TEXT = """
r = sigmoid(Wi_r @ x + Wh_r @ h + b_r)
n = tanh(Wi_n @ x + Wh_n @ (r * h) + b_n)
p = softmax(n) * exp(-abs(n))
q = layernorm(log(1 + n * n) - softplus(n) / 3)
h = max(min(r * h + (1 - r) * q, 4), -4) + relu(p) - sqrt(r) * mean(n)
output = h * logsumexp(n) + sum(p)
"""
"""Every operation that has a rounding of its own."""

_STEPS, _ROWS = 3, 11


def golden_cell() -> Cell:
    """Return the cell of the check: sizes that leave rest in every block."""
    return build_cell(_TEXT, {"in": 19, "hidden": 21})


def check(cache: KernelCache, *, training: bool = False) -> None:
    """Run the golden cell forward, for `training` also back. Raise StartupError if a bit differs; CompileFailed."""
    wanted = GOLDEN_TRAINING if training else GOLDEN_FORWARD
    if digest(cache, training=training) != wanted:
        raise StartupError(
            f"this machine computes other bits than kernel revision {KERNEL_REV} (target {cache.target.cpu});"
            " sessions would not go on as they were"
        )


def digest(cache: KernelCache, *, training: bool) -> str:
    """Return the sha256 of what the golden cell computes."""
    cell = golden_cell()
    kernel = compile_cell(cell, cache)
    packed = kernel.pack({param.name: _values(param.shape, seed) for seed, param in enumerate(cell.params)})
    inputs = _values((_STEPS, _ROWS, 19), 100)
    forward = kernel.forward(packed, [inputs], _values((_ROWS, 21), 101), save=training)
    arrays = [forward.outputs, forward.state]
    if forward.tape is not None:
        back = kernel.backward(packed, forward.tape, _values((_STEPS, _ROWS, 21), 102), _values((_ROWS, 21), 103))
        arrays += [*back.d_inputs, back.d_state, *back.d_params.values()]
    return _digest(arrays)


def _values(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return numbers between -1 and 1 from integers alone, so that they are the same everywhere."""
    mixed = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(2654435761)
    return ((mixed % np.uint64(1 << 24)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)


def _digest(arrays: Iterable[NDArray[np.float32]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
