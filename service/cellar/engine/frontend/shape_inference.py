"""Infers the shape of every name and expression of a cell by unification of symbolic sizes.

Every vector has one size, every matrix two; an operation makes sizes equal. A size is a name of the cell ("in",
"hidden", one that the user declared) or unknown at first; in the end every size must have a name. Two named sizes may
be unified if their numbers are equal: `h + x` is legal in a cell whose in and hidden sizes are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cellar.engine.frontend.functions import FUNCTIONS
from cellar.engine.frontend.lexer import Source, Token
from cellar.engine.frontend.name_resolution import Roles
from cellar.engine.frontend.syntax_tree import Binary, Call, Expr, Name, Number, Program, Unary, walk
from cellar.engine.ir.graph import Shape
from cellar.errors import CellNameError, CellShapeError
from cellar.errors.suggestions import suggestion

Dims = tuple["Dim", ...]


class Dim:
    """A size that may be unknown yet: a node of a union-find forest."""

    def __init__(self, label: str = "", number: int | None = None) -> None:
        self.label = label
        self.number = number
        self.parent: Dim | None = None

    def root(self) -> "Dim":
        """Return the representative of all sizes made equal to this one."""
        at = self
        while at.parent is not None:
            at = at.parent
        return at

    def unify(self, other: "Dim") -> bool:
        """Make two sizes one; return False if their numbers differ."""
        a, b = self.root(), other.root()
        if a is b:
            return True
        if a.number is not None and b.number is not None and a.number != b.number:
            return False
        keep, lose = (a, b) if a.number is not None else (b, a)
        lose.parent = keep
        return True

    def __str__(self) -> str:
        root = self.root()
        if root.number is None:
            return "?"
        return str(root.number) if root.label.isdigit() else f"{root.label} = {root.number}"


@dataclass(frozen=True, slots=True)
class Inferred:
    """The shape of every name, and the number behind each size name in them."""

    shapes: dict[str, Shape]
    sizes: dict[str, int]


def infer(program: Program, roles: Roles, source: Source, sizes: Mapping[str, int]) -> Inferred:
    """Return the shapes of a cell's names. Raise CellShapeError, or CellNameError for a size that is not given."""
    return _Inference(program, roles, source, sizes).run()


class _Inference:
    """Finds the shape of every name and expression in one walk over the equations."""

    def __init__(self, program: Program, roles: Roles, source: Source, sizes: Mapping[str, int]) -> None:
        self.program = program
        self.roles = roles
        self.source = source
        self.sizes = sizes
        self.named: dict[str, Dim] = {}
        self.dims: dict[str, Dims] = {}
        """Shape of every name: of a state both its previous and its new value."""
        self.equation: Expr | None = None
        """The right side of the current equation."""

    def run(self) -> Inferred:
        """Return the shapes and the sizes."""
        self.declare_names()
        for assignment in self.program.assignments:
            self.equation = assignment.value
            self.assign(assignment.target, self.shape_of(assignment.value))
        self.close_open_sizes()
        return Inferred({name: self.final(dims) for name, dims in self.dims.items()}, self.numbers())

    # --- sizes of names

    def declare_names(self) -> None:
        """Set the shapes of inputs, declared names, states and parameters; sizes that nothing declares are unknown."""
        for index, name in enumerate(self.roles.inputs):
            self.dims[name] = (self.size("in" if index == 0 else name),)
        for name, declaration in self.roles.declared.items():
            self.dims[name] = tuple(self.declared_size(token) for token in declaration.sizes)
        for name in self.roles.states:
            self.dims.setdefault(name, (self.size("hidden") if self.states_are_hidden() else Dim(),))
        matrices = self.matrix_names()
        for name in self.roles.params:
            self.dims.setdefault(name, (Dim(), Dim()) if name in matrices else (Dim(),))

    def states_are_hidden(self) -> bool:
        """Return whether all states are of size "hidden": the text declares no other size. It makes errors better."""
        labels = {token.text for declaration in self.program.declarations for token in declaration.sizes}
        return "hidden" in self.sizes and labels <= {"in", "hidden"}

    def size(self, label: str) -> Dim:
        """Return the dimension of a size name or of a whole number."""
        if label not in self.named:
            self.named[label] = Dim(label, int(label) if label.isdigit() else self.sizes[label])
        return self.named[label]

    def declared_size(self, token: Token) -> Dim:
        """Return the dimension that a declaration names. Raise CellNameError."""
        if not token.text.isdigit() and token.text not in self.sizes:
            detail = f"the size {token.text!r} is not given{suggestion(token.text, self.sizes)}"
            expected = f"one of {', '.join(sorted(self.sizes))}, or a whole number"
            raise self.source.error(CellNameError, detail, token, expected, token.text)
        return self.size(token.text)

    def matrix_names(self) -> set[str]:
        """Return the names that stand left of an '@'."""
        expressions = (expr for assignment in self.program.assignments for expr in walk(assignment.value))
        products = (expr for expr in expressions if isinstance(expr, Binary) and expr.token.text == "@")
        return {expr.left.text for expr in products if isinstance(expr.left, Name)}

    def assign(self, target: Token, dims: Dims) -> None:
        """Set the shape of an assigned name. Raise CellShapeError if it is a state of another shape."""
        if target.text not in self.roles.states:
            self.dims[target.text] = dims
            return
        expected = self.dims[target.text]
        if len(dims) != len(expected) or not expected[0].unify(dims[0]):
            detail = f"the new value of the state {target.text!r} has another shape{self.product_hint()}"
            raise self.error(detail, target, expected, dims)

    def close_open_sizes(self) -> None:
        """Set unknown sizes of states to "hidden". Raise CellShapeError for any other unknown size."""
        for name in self.roles.states:
            (dim,) = self.dims[name]
            if dim.root().number is None and "hidden" in self.sizes:
                dim.unify(self.size("hidden"))
        tokens = {assignment.target.text: assignment.target for assignment in self.program.assignments}
        for name, dims in self.dims.items():
            if any(dim.root().number is None for dim in dims):
                token = self.roles.params.get(name) or tokens[name]
                keyword = "param" if name in self.roles.params else "state"
                raise self.error(
                    f"the size of {name!r} cannot be inferred; declare it: '{keyword} {name}: ...'", token, None, dims
                )

    def final(self, dims: Dims) -> Shape:
        """Return a shape by the labels of its sizes."""
        return tuple(dim.root().label for dim in dims)

    def numbers(self) -> dict[str, int]:
        """Return the number behind each size label."""
        roots = [dim.root() for dims in self.dims.values() for dim in dims]
        return {root.label: root.number for root in roots if root.number is not None}

    # --- shapes of expressions

    def error(self, detail: str, token: Token, expected: Dims | None, actual: Dims) -> CellShapeError:
        """Return an error at a token, with expected and actual shape in words."""
        known = None if expected is None else _show(expected)
        return self.source.error(CellShapeError, detail, token, known, _show(actual))

    def shape_of(self, expr: Expr) -> Dims:
        """Return the shape of an expression. Raise CellShapeError."""
        match expr:
            case Number():
                return ()
            case Name(token=token):
                return self.shape_of_name(token)
            case Unary(token=token, operand=operand):
                return self.elementwise(token, [self.shape_of(operand)])
            case Binary(token=token, left=left, right=right) if token.text == "@":
                return self.shape_of_product(token, left, right)
            case Binary(token=token, left=left, right=right):
                return self.elementwise(token, [self.shape_of(left), self.shape_of(right)])
            case Call(token=token, arguments=arguments):
                return self.shape_of_call(token, arguments)

    def product_hint(self) -> str:
        """Return how a matrix times a vector is written, if the equation may mean one by `W * x`; else nothing."""
        for expr in () if self.equation is None else walk(self.equation):
            if isinstance(expr, Binary) and expr.token.text == "*":
                for matrix, vector in ((expr.left, expr.right), (expr.right, expr.left)):
                    if self.may_be_matrix(matrix) and isinstance(vector, Name):
                        return f"; a matrix times a vector is written '{matrix.token.text} @ {vector.text}'"
        return ""

    def may_be_matrix(self, expr: Expr) -> bool:
        """Return whether an expression is a parameter whose name begins as those of matrices do."""
        return isinstance(expr, Name) and expr.text in self.roles.params and expr.text[0].isupper()

    def shape_of_name(self, token: Token) -> Dims:
        """Return the shape of a name. Raise CellShapeError for a matrix, which stands only left of '@'."""
        dims = self.dims[token.text]
        if len(dims) == 2:
            detail = f"the matrix {token.text!r} can only stand left of '@'{self.product_hint()}"
            raise self.error(detail, token, None, dims)
        return dims

    def shape_of_product(self, token: Token, left: Expr, right: Expr) -> Dims:
        """Return the rows of a matrix whose columns are the size of the vector."""
        if not isinstance(left, Name) or left.text not in self.roles.params:
            if isinstance(left, Name) and self.may_be_matrix(right):
                hint = f"write '{right.token.text} @ {left.text}'"
            else:
                hint = "put brackets around the right side"
                self.shape_of(right)
            detail = f"left of '@' stands the name of a matrix parameter; {hint}"
            actual = left.text if isinstance(left, Name) else "a vector or a scalar"
            raise self.source.error(CellShapeError, detail, token, "a parameter", actual)
        vector = self.shape_of(right)
        matrix = self.dims[left.text]
        if len(matrix) != 2:
            raise self.error(f"{left.text!r} is not a matrix", left.token, None, matrix)
        if len(vector) != 1:
            raise self.error("right of '@' stands a vector", token, (matrix[1],), vector)
        if not matrix[1].unify(vector[0]):
            raise self.error(
                f"{left.text!r} has {matrix[1]} columns and the vector has another size", token, (matrix[1],), vector
            )
        return (matrix[0],)

    def elementwise(self, token: Token, shapes: list[Dims]) -> Dims:
        """Return the one shape of all operands; scalars go with any."""
        vectors = [dims for dims in shapes if dims]
        for dims in vectors[1:]:
            if not vectors[0][0].unify(dims[0]):
                detail = f"the operands of {token.text!r} have different sizes{self.product_hint()}"
                raise self.error(detail, token, vectors[0], dims)
        return vectors[0] if vectors else ()

    def shape_of_call(self, token: Token, arguments: tuple[Expr, ...]) -> Dims:
        """Return the shape of a function of its arguments."""
        function = FUNCTIONS[token.text]
        shapes = [self.shape_of(argument) for argument in arguments]
        if function.takes_vector and not shapes[0]:
            raise self.error(f"{token.text!r} takes a vector", token, (Dim(),), shapes[0])
        dims = self.elementwise(token, shapes)
        return () if function.result == "scalar" else dims


def _show(dims: Dims) -> str:
    if not dims:
        return "a scalar"
    kind = "a vector" if len(dims) == 1 else "a matrix"
    return f"{kind} ({', '.join(map(str, dims))})"
