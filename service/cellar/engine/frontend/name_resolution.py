"""Decides what each name of a cell is: an input, a state, a parameter, or an intermediate value.

A name that is read before it is assigned, and assigned later, is state. A name that is never assigned is a parameter
if it begins with a capital or `b_`, is `b`, or is declared; any other is an error, so a typo never becomes a weight.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cellar.engine.frontend.functions import FUNCTIONS
from cellar.engine.frontend.lexer import Source, Token
from cellar.engine.frontend.syntax_tree import Assignment, Declaration, Name, Program, names
from cellar.errors import CellNameError
from cellar.errors.suggestions import suggestion

OUTPUT = "output"
_OF_ANOTHER_STEP = re.compile(
    r"(?:prev|previous|old|last)_(?P<before>[A-Za-z]\w*)"
    r"|(?P<after>[A-Za-z]\w*?)_?(?:prev|previous|old|last|tm1|t_1|t1|_t)",
    re.ASCII,
)
"""Names with the step in them, as in papers and other frameworks: h_prev, h_tm1, h_t, prev_h."""
_INPUT_NAMES = frozenset({"in", "inp", "input", "inputs", "xt", "x_t"})
RESERVED = frozenset({"param", "state", "scalar", OUTPUT})


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of a program, each group in the order of its first appearance (states: of their assignment)."""

    inputs: tuple[str, ...]
    states: tuple[str, ...]
    params: dict[str, Token]
    """Each parameter with the token that first names it."""
    declared: dict[str, Declaration]
    output: str
    """The name of the value that is the output: a state, or "output"."""


def resolve(program: Program, source: Source, inputs: tuple[str, ...]) -> Roles:
    """Return the role of every name in the program (input, state, parameter, ...). Raise CellNameError."""
    return _Resolver(program, source, inputs).roles()


class _Resolver:
    """Finds the role of every name of a program from how the equations use it."""

    def __init__(self, program: Program, source: Source, inputs: tuple[str, ...]) -> None:
        self.program = program
        self.source = source
        self.inputs = inputs

    def roles(self) -> Roles:
        """Return the role of every name."""
        assigned = self.assigned()
        declared = self.declared(assigned)
        early = self.read_before_assignment()
        states = tuple(
            name for name in assigned if name != OUTPUT and (name in early or _is(declared.get(name), "state"))
        )
        params = self.params(set(assigned), declared)
        return Roles(self.inputs, states, params, declared, self.output(assigned, states))

    def error(self, detail: str, token: Token, expected: str | None = None) -> CellNameError:
        """Return an error at a token."""
        return self.source.error(CellNameError, detail, token, expected, token.text)

    def check_free(self, token: Token, reserved: Iterable[str]) -> None:
        """Raise unless the name may be assigned or declared."""
        if token.text in self.inputs:
            raise self.error(f"{token.text!r} is the input and cannot be assigned", token)
        if token.text in FUNCTIONS:
            raise self.error(f"{token.text!r} is a function and cannot be assigned", token)
        if token.text in reserved:
            raise self.error(f"{token.text!r} is a word of the language", token)

    def assigned(self) -> dict[str, Assignment]:
        """Return the assignment of every name. Raise if one is assigned twice."""
        found: dict[str, Assignment] = {}
        for assignment in self.program.assignments:
            token = assignment.target
            self.check_free(token, RESERVED - {OUTPUT})
            if token.text in found:
                first = found[token.text].target.line
                raise self.error(f"{token.text!r} is assigned twice, first in line {first}", token)
            found[token.text] = assignment
        return found

    def declared(self, assigned: dict[str, Assignment]) -> dict[str, Declaration]:
        """Return the declaration of every declared name. Raise if it contradicts the equations."""
        found: dict[str, Declaration] = {}
        for declaration in self.program.declarations:
            token, keyword = declaration.target, declaration.keyword.text
            self.check_free(token, RESERVED)
            if token.text in found:
                raise self.error(f"{token.text!r} is declared twice", token)
            if keyword == "param" and token.text in assigned:
                raise self.error(f"{token.text!r} is declared a parameter and assigned", token)
            if keyword == "state" and token.text not in assigned:
                hint = suggestion(token.text, assigned)
                raise self.error(f"the state {token.text!r} is never assigned{hint}", token)
            if keyword == "state" and len(declaration.sizes) != 1:
                raise self.error(f"the state {token.text!r} must be a vector", token, "one size")
            found[token.text] = declaration
        return found

    def read_before_assignment(self) -> set[str]:
        """Return the names that an equation reads before one assigns them."""
        known: set[str] = set()
        early: set[str] = set()
        for assignment in self.program.assignments:
            early |= {name.text for name in names(assignment.value)} - known
            known.add(assignment.target.text)
        return early

    def params(self, assigned: set[str], declared: dict[str, Declaration]) -> dict[str, Token]:
        """Return the parameters, each with the token that first names it. Raise for any other unknown name."""
        found: dict[str, Token] = {}
        for name in (name for assignment in self.program.assignments for name in names(assignment.value)):
            if name.text == OUTPUT:
                raise self.error("'output' can be assigned and not read", name.token)
            if name.text in assigned or name.text in self.inputs:
                continue
            if not (_is(declared.get(name.text), "param") or _looks_like_param(name.text)):
                raise self.unknown(name, assigned, assigned | set(self.inputs) | set(found) | set(declared))
            found.setdefault(name.text, name.token)
        for text, declaration in declared.items():
            if declaration.keyword.text == "param" and text not in found:
                raise self.error(f"the parameter {text!r} is never used", declaration.target)
        return found

    def unknown(self, name: Name, assigned: set[str], known: set[str]) -> CellNameError:
        """Return the error for an unknown name, with a suggestion where there is one."""
        return self.error(
            f"{name.text!r} is never assigned{self.meant(name.text, assigned, known)}",
            name.token,
            "a state, the input, an assigned name, or a parameter: one that begins with a capital or 'b_', "
            "is 'b', or is declared with 'param'",
        )

    def meant(self, name: str, assigned: set[str], known: set[str]) -> str:
        """Return a suggestion for an unknown name."""
        if (step := _OF_ANOTHER_STEP.fullmatch(name)) is not None:
            base = step["before"] or step["after"]
            for state in (base, f"{base}_t", f"{base}_new", f"new_{base}"):
                if state in assigned:
                    return f": write {state!r}, which before its own line is the old state"
            if base in self.inputs:
                return f": write {base!r}, the input of this step"
        if name in _INPUT_NAMES and len(self.inputs) == 1:
            return f": the input is called {self.inputs[0]!r}"
        hint = suggestion(name, known)
        return hint or f"; a parameter begins with a capital or 'b_', or is declared, as in 'param {name}: hidden x in'"

    def output(self, assigned: dict[str, Assignment], states: tuple[str, ...]) -> str:
        """Return the name of the output. Raise if the cell has none."""
        if OUTPUT in assigned:
            return OUTPUT
        if states:
            return states[-1]
        last = self.program.assignments[-1].target
        raise self.error("a cell without state needs a line 'output = ...'", last, "output = expression")


def _looks_like_param(name: str) -> bool:
    return name[0].isupper() or name == "b" or name.startswith("b_")


def _is(declaration: Declaration | None, keyword: str) -> bool:
    return declaration is not None and declaration.keyword.text == keyword
