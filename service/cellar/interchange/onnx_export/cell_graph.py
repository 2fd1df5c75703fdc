"""Writes one step of a cell as nodes of ONNX, one or two for each operation of its graph.

A value has an axis of rows in front, and of steps before that in a whole sequence, if it depends on the input; what
depends on parameters alone has none. Both go together by broadcasting, since numbers are the last axis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Cell
from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op

Array = NDArray[Any]

OPERATORS = {
    Op.ADD: "Add",
    Op.SUB: "Sub",
    Op.MUL: "Mul",
    Op.DIV: "Div",
    Op.NEG: "Neg",
    Op.EXP: "Exp",
    Op.LOG: "Log",
    Op.SQRT: "Sqrt",
    Op.ABS: "Abs",
    Op.TANH: "Tanh",
    Op.SIGMOID: "Sigmoid",
    Op.SOFTPLUS: "Softplus",
    Op.RELU: "Relu",
    Op.MIN: "Min",
    Op.MAX: "Max",
}
"""Element by element."""
REDUCTIONS = {Op.SUM: "ReduceSum", Op.REDUCE_MAX: "ReduceMax"}


@dataclass
class GraphWriter:
    """Collects the nodes and constants of a graph, and gives them unique names."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    _count: list[int] = field(default_factory=lambda: [0])

    def inner(self) -> "GraphWriter":
        """Return the writer of a graph within this one, whose constants and names are shared."""
        return GraphWriter([], self.constants, self._count)

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        from onnx import helper

        name = output or self.fresh(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{operator} {name}", **attributes))
        return name

    def fresh(self, word: str) -> str:
        """Return a name that is not taken."""
        self._count[0] += 1
        return f"{word}_{self._count[0]}"

    def constant(self, value: Any, dtype: Any) -> str:
        """Return the name of a constant; equal ones are one."""
        array = np.asarray(value, dtype)
        name = f"const.{array.dtype}.{'_'.join(str(number) for number in array.reshape(-1))}.{array.ndim}"
        self.constants.setdefault(name, array)
        return name


@dataclass(frozen=True, slots=True)
class _Value:
    name: str
    rows: bool
    """It depends on the input or the state, so that it has an axis of rows."""


def step_nodes(
    cell: Cell, writer: GraphWriter, inputs: Sequence[str], states: Mapping[str, str], params: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Append the nodes of a step; return the names of the output and of the new states.

    `inputs` are names of values (..., rows, numbers), `states` and `params` names by the cell's.
    """
    values: dict[Node, _Value] = {}
    for node in toposort(cell.step.roots):
        values[node] = _node(node, values, writer, cell, inputs, states, params)
    output = _with_rows(values[cell.step.output], cell.out_size, writer, inputs[0])
    following = {
        state.name: _with_rows(values[state.following], cell.sizes[state.previous.shape[0]], writer, inputs[0])
        for state in cell.step.states
    }
    return output, following


def _node(
    node: Node,
    values: Mapping[Node, _Value],
    writer: GraphWriter,
    cell: Cell,
    inputs: Sequence[str],
    states: Mapping[str, str],
    params: Mapping[str, str],
) -> _Value:
    """Return the value of a node. The values of its sources must exist."""
    sources = [values[source] for source in node.sources]
    rows = any(source.rows for source in sources)
    names = [source.name for source in sources]
    if node.op is Op.INPUT:
        return _Value(inputs[cell.step.inputs.index(node)], True)
    if node.op is Op.STATE:
        return _Value(states[node.name], True)
    if node.op is Op.PARAM:
        return _Value(params[node.name], False)
    if node.op is Op.CONST:
        return _Value(writer.constant(node.value, np.float32), False)
    if node.op is Op.LENGTH:
        return _Value(writer.constant(cell.sizes[node.name], np.float32), False)
    if node.op is Op.BROADCAST:
        return sources[0]
    if node.op is Op.SELECT:
        larger = writer.add("Greater", names[:2])
        return _Value(writer.add("Where", [larger, *names[2:]]), rows)
    if node.op is Op.PRODUCT:
        return _Value(_product(names, rows, writer), rows)
    if node.op in REDUCTIONS:
        axes = writer.constant([-1], np.int64)
        return _Value(writer.add(REDUCTIONS[node.op], [names[0], axes], keepdims=int(rows)), rows)
    return _Value(writer.add(OPERATORS[node.op], names), rows)


def _product(names: Sequence[str], rows: bool, writer: GraphWriter) -> str:
    """Return a matrix times a vector: of rows x @ W', of parameters alone W @ v."""
    matrix, vector = names
    if not rows:
        return writer.add("MatMul", [matrix, vector])
    return writer.add("MatMul", [vector, writer.add("Transpose", [matrix], perm=[1, 0])])


def _with_rows(value: _Value, size: int, writer: GraphWriter, like: str) -> str:
    """Return a value with an axis of rows and all its numbers, as an input has them."""
    if value.rows:
        return value.name
    lead = writer.add("Slice", [writer.add("Shape", [like]), *(writer.constant([at], np.int64) for at in (0, -1))])
    shape = writer.add("Concat", [lead, writer.constant([size], np.int64)], axis=0)
    return writer.add("Expand", [value.name, shape])
