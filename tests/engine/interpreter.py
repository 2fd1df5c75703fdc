"""An interpreter of cells, the oracle for compiled ones: it evaluates a graph with NumPy, in float64 or float32.

It shares the graph, the table of operations and the gradient with the kernels, and nothing else: no schedule, no
packing, no functions of the kernel library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from cellar.engine.cell import Cell, State
from cellar.engine.ir.graph import Array, Node, StateSlot, toposort
from cellar.engine.ir.ops import Op
from cellar.engine.passes.autodiff import OUTPUT_COTANGENT

Values = dict[Node, Array]


@dataclass(frozen=True, slots=True)
class Interpreted:
    """What a forward pass gives: `outputs` (T, B, out), `state` (B, S), and every value of every step."""

    outputs: Array
    state: Array
    tape: tuple[Values, ...]


@dataclass(frozen=True, slots=True)
class InterpretedGradient:
    """Gradients of the inputs (T, B, size) each, of the initial state (B, S), and of the parameters by name."""

    inputs: tuple[Array, ...]
    state: Array
    params: dict[str, Array]


def interpret_forward(
    cell: Cell,
    weights: Mapping[str, Array],
    inputs: Sequence[Array],
    state: Array,
    lengths: Array | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> Interpreted:
    """Run T steps of B rows. Shapes as `CompiledCell.forward`; rows at or past their length are frozen."""
    params = _bound_params(cell, weights, dtype)
    inputs = [np.asarray(array, dtype) for array in inputs]
    steps, rows = inputs[0].shape[:2]
    now, tape, outputs = np.array(state, dtype), [], np.zeros((steps, rows, cell.out_size), dtype)
    for t in range(steps):
        leaves = params | {node: array[t] for node, array in zip(cell.step.inputs, inputs, strict=True)}
        leaves |= dict(zip((s.previous for s in cell.step.states), _split(cell, now), strict=True))
        values = _evaluate(cell, cell.step.roots, leaves, dtype)
        alive = _alive(lengths, t, rows)
        outputs[t] = np.where(alive, values[cell.step.output], 0)
        following = [np.broadcast_to(values[s.following], now_part.shape) for s, now_part in _parts(cell, now)]
        now = np.where(alive, np.concatenate([*following, now[:, :0]], axis=1), now)
        tape.append(values)
    return Interpreted(outputs, now, tuple(tape))


def interpret_backward(
    cell: Cell,
    weights: Mapping[str, Array],
    tape: Sequence[Values],
    d_outputs: Array,
    d_state: Array | None = None,
    lengths: Array | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> InterpretedGradient:
    """Run the adjoint back over a forward pass of the same cell, weights, lengths and dtype."""
    params = _bound_params(cell, weights, dtype)
    steps, rows = d_outputs.shape[:2]
    after = np.zeros((rows, cell.state_size), dtype) if d_state is None else np.array(d_state, dtype)
    d_inputs = tuple(np.zeros((steps, rows, size), dtype) for size in cell.in_sizes)
    d_params = {param.name: np.zeros(param.shape, dtype) for param in cell.params}
    for t in reversed(range(steps)):
        alive = _alive(lengths, t, rows)
        leaves = dict(tape[t]) | params
        leaves[cell.adjoint.cotangents[OUTPUT_COTANGENT]] = np.where(alive, np.asarray(d_outputs[t], dtype), 0)
        for slot, part in _parts(cell, np.where(alive, after, 0)):
            leaves[cell.adjoint.cotangents[slot.name]] = part
        values = _evaluate(cell, cell.adjoint.roots, leaves, dtype)
        for array, node in zip(d_inputs, cell.adjoint.inputs, strict=True):
            array[t] = np.where(alive, values[node], 0)
        before = [np.broadcast_to(values[node], (rows, s.size)) for node, s in _states(cell)]
        after = np.where(alive, np.concatenate([*before, after[:, :0]], axis=1), after)
        _add_params(cell, d_params, values, alive, rows)
    return InterpretedGradient(d_inputs, after, d_params)


def _add_params(cell: Cell, d_params: dict[str, Array], values: Values, alive: Array, rows: int) -> None:
    for name, node in cell.adjoint.params.items():
        shape = (rows, *(d_params[name].shape or (1,)))
        d_params[name] += np.where(alive, np.broadcast_to(values[node], shape), 0).sum(0).reshape(d_params[name].shape)
    for name, pairs in cell.adjoint.matrices.items():
        for g, v in pairs:
            m, n = d_params[name].shape
            left = np.where(alive, np.broadcast_to(values[g], (rows, m)), 0)
            d_params[name] += left.T @ np.broadcast_to(values[v], (rows, n))


def _evaluate(cell: Cell, roots: Sequence[Node], leaves: Values, dtype: DTypeLike) -> Values:
    values = dict(leaves)
    with np.errstate(all="ignore"):
        for node in toposort(roots):
            if node in values:
                continue
            if node.op is Op.CONST:
                values[node] = np.full((1, 1), node.value, dtype)
            elif node.op is Op.LENGTH:
                values[node] = np.full((1, 1), cell.sizes[node.name], dtype)
            elif node.op is Op.BROADCAST:
                rows = values[node.sources[0]].shape[0]
                values[node] = np.broadcast_to(values[node.sources[0]], (rows, cell.sizes[node.shape[0]]))
            else:
                values[node] = node.op.numpy(*(values[source] for source in node.sources))
    return values


def _bound_params(cell: Cell, weights: Mapping[str, Array], dtype: DTypeLike) -> Values:
    bound: Values = {}
    for node in cell.step.params:
        value = np.asarray(weights[node.name], dtype)
        bound[node] = value if value.ndim == 2 else value.reshape(1, -1)
    return bound


def _alive(lengths: Array | None, t: int, rows: int) -> Array:
    return np.ones((rows, 1), bool) if lengths is None else (np.asarray(lengths) > t)[:, None]


def _split(cell: Cell, state: Array) -> list[Array]:
    edges = np.cumsum([s.size for s in cell.states])[:-1]
    return np.split(state, edges, axis=1) if cell.states else []


def _parts(cell: Cell, state: Array) -> list[tuple[StateSlot, Array]]:
    return list(zip(cell.step.states, _split(cell, state), strict=True))


def _states(cell: Cell) -> list[tuple[Node, State]]:
    return list(zip(cell.adjoint.states, cell.states, strict=True))
