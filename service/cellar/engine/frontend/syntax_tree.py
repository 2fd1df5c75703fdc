"""The syntax tree of a cell: declarations, assignments and expressions, each with the token where it begins."""

from collections.abc import Iterator
from dataclasses import dataclass

from cellar.engine.frontend.lexer import Token


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    token: Token
    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A name that is read."""

    token: Token

    @property
    def text(self) -> str:
        """Return the name."""
        return self.token.text


@dataclass(frozen=True, slots=True)
class Unary:
    """`-operand`."""

    token: Token
    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; the token is the operator."""

    token: Token
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`; the token is the function's name."""

    token: Token
    arguments: tuple["Expr", ...]


Expr = Number | Name | Unary | Binary | Call


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = value`."""

    target: Token
    value: Expr


@dataclass(frozen=True, slots=True)
class Declaration:
    """`param name: sizes` or `state name: size`; no sizes for a scalar."""

    keyword: Token
    target: Token
    sizes: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A cell's text, parsed."""

    declarations: tuple[Declaration, ...]
    assignments: tuple[Assignment, ...]
    operations: int
    """How many operators and calls the text has."""


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct operands of an expression."""
    match expr:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield an expression and all those in it, in the order in which they are written."""
    stack: list[Expr] = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def names(expr: Expr) -> list[Name]:
    """Return the names that an expression reads, in the order in which they are written."""
    return [node for node in walk(expr) if isinstance(node, Name)]
