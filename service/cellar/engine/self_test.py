"""Checks that this machine computes the bits of the revision: runs a golden network and compares hashes.

Every bit of a result follows from the equations and the rules of the arithmetic. Sessions are pinned to the revision,
so a machine whose processor, compiler or build computes other bits must not serve them.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.cell import Cell, build_cell
from cellar.engine.execution.compiled_cell import CompiledCell, compile_cells
from cellar.engine.execution.network_plan import INPUT, NodeWeights, PlanNode, Run
from cellar.engine.execution.network_program import NetworkCode, NetworkProgram
from cellar.engine.numerics import KERNEL_REV, TRAINING_REV
from cellar.errors import StartupError

GOLDEN = {
    "float32": "ca5d848120d328253eb97e715a23ff722eac4a70266a3a9cee1d95beb1b1eda7",
    "bfloat16": "4b026dd6a6bf3fc50c1ca38f1f2ca21055214b903331200387d4baed5eba382a",
    "training": "e277cc98f1601fc016a83352f8ed3471ffb31505ffffc891c366bf073f343880",
}
"""sha256 of the results of the golden network: with weights in float32, in bfloat16, and its gradients.

They change with KERNEL_REV, those of training with TRAINING_REV too, and when an operation is added to the golden
network; never otherwise. `make golden` prints them.
"""

_TEXT = """
r = sigmoid(Wi_r @ x + Wh_r @ h + b_r)
n = tanh(Wi_n @ x + Wh_n @ (r * h) + b_n)
p = softmax(n) * exp(-abs(n))
q = layernorm(log(1 + n * n) - softplus(n) / 3)
h = max(min(r * h + (1 - r) * q, 4), -4) + relu(p) - sqrt(r) * mean(n)
output = h * logsumexp(n) + sum(p)
"""
"""Every operation that has a rounding of its own."""

_IN, _HIDDEN, _OUT = 131, 75, 21
"""Sizes that are no multiples of a block, with products of more panels and terms than a tile takes at once."""

_STEPS, _ROWS = 7, 11

_LEAST_POWER, _MOST_POWER = -70, 6
"""Inputs are between these powers of two: some are flushed, and some saturate every function."""


def golden_cells() -> tuple[Cell, Cell]:
    """Return the cells of the golden network, one for each layer. They share their kernels."""
    lower = build_cell(_TEXT, {"in": _IN, "hidden": _HIDDEN})
    return lower, build_cell(_TEXT, {"in": _HIDDEN, "hidden": _OUT})


def check(cache: KernelCache, *, training: bool = False) -> None:
    """Run the golden network as sessions are run, or for `training` its gradients. Raise CompileFailed.

    Raise StartupError if a bit differs from those of the revision.
    """
    for name in ("training",) if training else ("float32", "bfloat16"):
        if digest(cache, name) != GOLDEN[name]:
            what = f"training revision {TRAINING_REV}" if training else f"kernel revision {KERNEL_REV}, {name} weights"
            raise StartupError(
                f"this machine does not compute the bits of {what} (target {cache.target.cpu});"
                " sessions and jobs would continue with other results"
            )


def digest(cache: KernelCache, name: str) -> str:
    """Return the sha256 of this machine's results, for a name in `GOLDEN`. Raise CompileFailed."""
    kernels = compile_cells(golden_cells(), cache, training=name == "training")
    arrays = _gradients(kernels[1]) if name == "training" else _served(kernels, cache, bfloat16=name == "bfloat16")
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array, "<f4").tobytes())
    return found.hexdigest()


def _served(kernels: list[CompiledCell], cache: KernelCache, *, bfloat16: bool) -> Iterator[NDArray[np.float32]]:
    """Yield outputs and states of the network, run in each way in which the service runs networks."""
    program = _program(kernels, cache, bfloat16=bfloat16)
    inputs, state = _inputs(_IN), _values((_ROWS, program.code.state_size), 101)
    lengths = np.arange(_ROWS, dtype=np.int32) % (_STEPS + 1)
    reset = np.arange(_ROWS) % 2 == 0
    yield from _results(program.run(inputs, state))
    yield from _results(program.run(inputs, state, lengths, reset=reset))
    for rows in (slice(0, 1), slice(0, _ROWS)):  # steps alone, as sessions send them
        before = state[rows]
        for step in range(_STEPS):
            records = tuple(row.tobytes() for row in before)
            run = program.run(inputs[step : step + 1, rows], records)
            yield from _results(run)
            before = run.state


def _results(run: Run) -> Iterator[NDArray[np.float32]]:
    yield run.outputs
    yield run.state


def _program(kernels: list[CompiledCell], cache: KernelCache, *, bfloat16: bool) -> NetworkProgram:
    """Return the network: one cell on the other, each with a state that is not zero at first."""
    nodes, bound, offset = list[PlanNode](), list[NodeWeights](), 0
    for number, kernel in enumerate(kernels):
        cell = kernel.cell
        weights = {param.name: _values(param.shape, 10 * number + seed) for seed, param in enumerate(cell.params)}
        initial = _values((cell.state_size,), 200 + number)
        nodes.append(PlanNode(kernel, (INPUT if number == 0 else (number - 1,),), offset))
        bound.append(NodeWeights(kernel.pack(weights, bfloat16=bfloat16), initial))
        offset += cell.state_size
    return NetworkProgram(NetworkCode(nodes, (len(nodes) - 1,), _IN, offset, cache), bound)


def _gradients(kernel: CompiledCell) -> Iterator[NDArray[np.float32]]:
    """Yield results and gradients of the upper layer, forward and backward."""
    packed = kernel.pack({param.name: _values(param.shape, seed) for seed, param in enumerate(kernel.cell.params)})
    forward = kernel.forward(packed, [_inputs(_HIDDEN)], _values((_ROWS, _OUT), 101), save=True)
    yield from (forward.outputs, forward.state)
    back = kernel.backward(packed, forward, _values((_STEPS, _ROWS, _OUT), 102), _values((_ROWS, _OUT), 103))
    yield from (*back.d_inputs, back.d_state, *back.d_params.values())


def _inputs(size: int) -> NDArray[np.float32]:
    """Return (T, B, size) inputs of every magnitude."""
    values = _values((_STEPS, _ROWS, size), 100)
    powers = np.arange(values.size, dtype=np.int32) * 5 % (_MOST_POWER - _LEAST_POWER + 1) + _LEAST_POWER
    return np.ldexp(values, powers.reshape(values.shape))


def _values(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return numbers between -1 and 1 from integers alone, so that they are the same everywhere."""
    mixed = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(2654435761)
    return ((mixed % np.uint64(1 << 24)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)
