"""Parses the text of a cell to a syntax tree, by recursive descent. The text never reaches eval, exec or format.

::

    program    = { [ statement ] newline }
    statement  = "param" name ":" sizes | "state" name ":" sizes | name "=" sum
    sizes      = "scalar" | size [ "x" size ]
    sum        = term { ("+" | "-") term }
    term       = unary { ("*" | "/" | "@") unary }
    unary      = "-" unary | atom
    atom       = number | name | name "(" sum { "," sum } ")" | "(" sum ")"

Operators of one level associate to the left, as in Python. Inside parentheses a line break is blank space.
"""

import math
from decimal import Decimal
from itertools import pairwise

import numpy as np

from cellar.engine.frontend.functions import ELSEWHERE, FUNCTIONS
from cellar.engine.frontend.lexer import Source, Token, tokenize
from cellar.engine.frontend.syntax_tree import Assignment, Binary, Call, Declaration, Expr, Name, Number, Program, Unary
from cellar.errors import CellLimitError, CellNameError, CellSyntaxError
from cellar.errors.suggestions import suggestion

MAX_OPERATIONS = 64
MAX_DEPTH = 16
MAX_SIZE = 16_384


def parse(source: Source) -> Program:
    """Return the tree of a cell's text. Raise CellSyntaxError, CellNameError or CellLimitError."""
    return _Parser(source).program()


def to_float32(text: str) -> float:
    """Return the float32 nearest to a decimal number, rounded once.

    By way of a float64 it would be rounded twice. So the float64 is rounded to odd: where it is not exact, of the two
    around the number the one whose last bit is set, which then lies on no border between two float32.
    """
    near = float(text)
    if near and math.isfinite(near) and not np.float64(near).view(np.int64) & 1:
        exact = Decimal(text)
        if exact != Decimal(near):
            near = math.nextafter(near, math.inf if exact > Decimal(near) else -math.inf)
    with np.errstate(over="ignore"):
        return float(np.float32(near))


class _Parser:
    """Recursive descent over the tokens of a text, with the limits counted on the way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = list(tokenize(source))
        self.at = 0
        self.depth = 0
        self.brackets = 0
        self.operations = 0

    # --- tokens

    @property
    def now(self) -> Token:
        """Return the next token; inside brackets, lines do not end."""
        while self.brackets and self.tokens[self.at].kind == "newline":
            self.at += 1
        return self.tokens[self.at]

    def advance(self) -> Token:
        """Take the next token."""
        token = self.now
        if token.kind != "end":
            self.at += 1
        return token

    def accept(self, *symbols: str) -> Token | None:
        """Take the next token if it is one of these symbols."""
        token = self.now
        return self.advance() if token.kind == "symbol" and token.text in symbols else None

    def expect(self, symbol: str, where: str) -> Token:
        """Take a symbol. Raise CellSyntaxError for anything else."""
        token = self.accept(symbol)
        if token is None:
            raise self.syntax_error(f"expected {symbol!r} {where}", repr(symbol))
        return token

    def expect_name(self, where: str) -> Token:
        """Take a name. Raise CellSyntaxError for anything else."""
        if self.now.kind != "name":
            raise self.syntax_error(f"expected a name {where}", "a name")
        return self.advance()

    def syntax_error(self, detail: str, expected: str) -> CellSyntaxError:
        """Return an error at the next token."""
        token = self.now
        actual = {"newline": "the end of the line", "end": "the end of the text"}.get(token.kind, repr(token.text))
        return self.source.error(CellSyntaxError, f"{detail}, found {actual}", token, expected, actual)

    def count(self, token: Token) -> None:
        """Count an operation. Raise CellLimitError beyond the limit."""
        self.operations += 1
        if self.operations > MAX_OPERATIONS:
            most = f"at most {MAX_OPERATIONS} operations"
            raise self.source.error(CellLimitError, "the cell has too many operations", token, most)

    # --- statements

    def program(self) -> Program:
        """Parse the whole text."""
        declarations: list[Declaration] = []
        assignments: list[Assignment] = []
        while self.now.kind != "end":
            if self.now.kind == "newline":
                self.advance()
                continue
            if self.is_declaration():
                declarations.append(self.declaration())
            else:
                assignments.append(self.assignment())
            if self.now.kind not in ("newline", "end"):
                raise self.syntax_error("expected an operator or the end of the line", "an operator")
        if not assignments:
            raise self.syntax_error("a cell needs at least one equation", "name = expression")
        return Program(tuple(declarations), tuple(assignments), self.operations)

    def is_declaration(self) -> bool:
        """Return whether a declaration begins here: `param` and `state` are words only there."""
        return self.now.text in ("param", "state") and self.tokens[self.at + 1].kind == "name"

    def declaration(self) -> Declaration:
        """Parse `param name: size x size`, `param name: scalar` or `state name: size`."""
        keyword, target = self.advance(), self.advance()
        self.expect(":", f"after {target.text!r}")
        first = self.size()
        if first.text == "scalar":
            return Declaration(keyword, target, ())
        if self.now.kind == "name" and self.now.text == "x":
            self.advance()
            return Declaration(keyword, target, (first, self.size()))
        return Declaration(keyword, target, (first,))

    def size(self) -> Token:
        """Parse a size: a name or a whole number."""
        if self.now.kind == "number" and self.now.text.isdigit() and int(self.now.text) > 0:
            if int(self.now.text) > MAX_SIZE:
                raise self.source.error(CellLimitError, "a size is too large", self.now, f"at most {MAX_SIZE}")
            return self.advance()
        return self.expect_name("of a size, or a whole number")

    def assignment(self) -> Assignment:
        """Parse `name = expression`."""
        target = self.expect_name("at the start of an equation")
        self.expect("=", f"after {target.text!r}")
        return Assignment(target, self.sum())

    # --- expressions

    def sum(self) -> Expr:
        """Parse terms between + and -."""
        left = self.term()
        while token := self.accept("+", "-"):
            self.count(token)
            left = Binary(token, left, self.term())
        return left

    def term(self) -> Expr:
        """Parse factors between *, / and @."""
        left = self.unary()
        while token := self.accept("*", "/", "@"):
            self.count(token)
            left = Binary(token, left, self.unary())
        return left

    def unary(self) -> Expr:
        """Parse an atom with any minus before it."""
        token = self.accept("-")
        if token is None:
            return self.atom()
        self.count(token)
        self.enter(token)
        operand = self.unary()
        self.depth -= 1
        return Unary(token, operand)

    def atom(self) -> Expr:
        """Parse a number, a name, a call or a bracket."""
        token = self.now
        if token.kind == "number":
            return self.number()
        if token.kind == "name":
            self.advance()
            return self.call(token) if self.now.text == "(" else self.name(token)
        if token.text == "(":
            self.open(self.advance())
            inner = self.sum()
            self.close()
            return inner
        raise self.syntax_error("expected a value", "a number, a name, a function or '('")

    def number(self) -> Number:
        """Parse a number, rounded to float32. Raise CellSyntaxError if it is too large."""
        token = self.advance()
        value = to_float32(token.text)
        if not math.isfinite(value):
            raise self.source.error(CellSyntaxError, f"{token.text} is beyond float32", token)
        return Number(token, value)

    def name(self, token: Token) -> Name:
        """Return a name, which must not be a function's."""
        if token.text in FUNCTIONS:
            raise self.syntax_error(f"{token.text!r} is a function", "'('")
        return Name(token)

    def call(self, token: Token) -> Call:
        """Parse the arguments of a function."""
        if token.text not in FUNCTIONS:
            raise self.unknown_function(token)
        self.count(token)
        self.open(self.advance())
        arguments = [self.sum()]
        while self.accept(","):
            arguments.append(self.sum())
        arity = FUNCTIONS[token.text].arity
        if len(arguments) != arity:
            expected = f"{arity} argument{'s' if arity > 1 else ''}"
            detail = f"{token.text!r} takes {expected}, not {len(arguments)}"
            raise self.source.error(CellSyntaxError, detail, token, expected, str(len(arguments)))
        self.close()
        return Call(token, tuple(arguments))

    def unknown_function(self, token: Token) -> CellNameError:
        """Return the error for a function that does not exist, with the nearest that does."""
        if self.is_value(token.text):
            hint = ": it is a value, before its line that of the step before; a product is written with '*'"
        elif (said := ELSEWHERE.get(token.text.lower())) is not None:
            hint = f"; {said}"
        else:
            hint = suggestion(token.text, FUNCTIONS)
        detail = f"there is no function {token.text!r}{hint}"
        return self.source.error(CellNameError, detail, token, ", ".join(sorted(FUNCTIONS)), token.text)

    def is_value(self, name: str) -> bool:
        """Return whether a line of the text assigns the name."""
        return any(token.text == name and after.text == "=" for token, after in pairwise(self.tokens))

    def enter(self, token: Token) -> None:
        """Go one level deeper. Raise CellLimitError beyond the limit."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            most = f"at most {MAX_DEPTH} levels"
            raise self.source.error(CellLimitError, "the cell is nested too deeply", token, most)

    def open(self, token: Token) -> None:
        """Enter a bracket."""
        self.enter(token)
        self.brackets += 1

    def close(self) -> None:
        """Leave a bracket."""
        self.expect(")", "to close the bracket")
        self.brackets -= 1
        self.depth -= 1
