"""Lowers the equations of a cell, whose shapes are known, to the graph of a step."""

from collections.abc import Mapping

from cellar.engine.frontend.functions import FUNCTIONS
from cellar.engine.frontend.name_resolution import Roles
from cellar.engine.frontend.syntax_tree import Binary, Call, Expr, Name, Number, Program, Unary
from cellar.engine.ir.graph import Node, Shape, StateSlot, Step
from cellar.engine.ir.ops import Op, apply, const, product

_OPERATORS = {"+": Op.ADD, "-": Op.SUB, "*": Op.MUL, "/": Op.DIV}


def lower(program: Program, roles: Roles, shapes: Mapping[str, Shape]) -> Step:
    """Return the graph of a step; `shapes` are those of the names."""
    return _Lowering(program, roles, shapes).step()


class _Lowering:
    """The nodes of all names while the equations are walked."""

    def __init__(self, program: Program, roles: Roles, shapes: Mapping[str, Shape]) -> None:
        self.program = program
        self.roles = roles
        self.inputs = tuple(Node(Op.INPUT, shapes[name], name=name) for name in roles.inputs)
        self.params = tuple(Node(Op.PARAM, shapes[name], name=name) for name in roles.params)
        self.previous = tuple(Node(Op.STATE, shapes[name], name=name) for name in roles.states)
        self.values = {node.name: node for node in (*self.inputs, *self.params, *self.previous)}

    def step(self) -> Step:
        """Return the graph of all equations."""
        for assignment in self.program.assignments:
            self.values[assignment.target.text] = self.build(assignment.value)
        states = tuple(StateSlot(node.name, node, self.values[node.name]) for node in self.previous)
        return Step(self.inputs, self.params, states, self.values[self.roles.output])

    def build(self, expr: Expr) -> Node:
        """Return the node of an expression."""
        match expr:
            case Number(value=value):
                return const(value)
            case Name(token=token):
                return self.values[token.text]
            case Unary(operand=operand):
                return apply(Op.NEG, self.build(operand))
            case Binary(token=token, left=left, right=right):
                a, b = self.build(left), self.build(right)
                return product(a, b) if token.text == "@" else apply(_OPERATORS[token.text], a, b)
            case Call(token=token, arguments=arguments):
                return FUNCTIONS[token.text].build(*(self.build(argument) for argument in arguments))
