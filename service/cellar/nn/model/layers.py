"""Layers: the specification of one, turned into a cell, what it reads, and how its parameters begin."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from pydantic import TypeAdapter

from cellar.cells import BUILT_IN
from cellar.engine import Cell, State, build_cell
from cellar.errors import CellError, InvalidInput
from cellar.nn.model.initialisers import Fan, Shape, check_overrides, default, fans
from cellar.nn.spec.network import (
    DenseSpec,
    DropoutSpec,
    EquationsSpec,
    Initialiser,
    Initialisers,
    LayerNormSpec,
    RecurrentSpec,
)
from cellar.suggestions import plain_name, suggestion

_INITIALISERS: TypeAdapter[Initialisers] = TypeAdapter(Initialisers)

Signal = tuple[int, ...]
"""Numbers of layers whose outputs stand side by side; -1 is the network's input."""

INPUT: Signal = (-1,)


@dataclass(frozen=True, slots=True)
class Layer:
    """A cell over time, what it reads, and what it takes to begin it. Names are without the layer's."""

    cell: Cell
    label: str
    """What the layer is called when its state is shown: "lstm", "dense", or "custom"."""
    trainable: tuple[State, ...]
    """The states whose initial value is a parameter, `h0` for `h`; all or none."""
    shapes: Mapping[str, Shape]
    init: Mapping[str, Initialiser]
    fans: Mapping[str, Fan]
    pointer: str
    """Where its specification stands in the request."""
    name: str = "0"
    """What its parameters' names begin with: its number, and the direction of a bidirectional layer: "2.reverse".
    Empty if it has none, at the end of a residual one."""
    number: int = 0
    """Its place among the layers of the specification that are no composite, depth first."""
    reads: tuple[Signal, ...] = (INPUT,)
    """A signal for each input of the cell; dropout's second one, the mask, is none."""
    reverse: bool = False
    """Each row is read from its own end to its start."""
    dropout: float | None = None
    """The rate of a layer that exists in training only; elsewhere those after it read what it reads."""

    @property
    def starts(self) -> list[tuple[str, slice]]:
        """Return the names of the parameters that are initial states, and their columns in the layer's state."""
        edges = [0, *accumulate(state.size for state in self.trainable)]
        return [
            (f"{self.name}.{s.name}0", slice(*edge)) for s, edge in zip(self.trainable, pairwise(edges), strict=True)
        ]


def build_layer(spec: RecurrentSpec | DenseSpec | LayerNormSpec | DropoutSpec, in_size: int, pointer: str) -> Layer:
    """Return the layer of a specification, as if alone. Raise InvalidInput with a pointer below `pointer`."""
    match spec:
        case DenseSpec():
            return _dense(spec, in_size, pointer)
        case LayerNormSpec():
            cell = build_cell("param g: in\nparam b: in\noutput = g * layernorm(x) + b", {"in": in_size})
            return _layer(cell, "layer_norm", False, {"g": "ones"}, (), spec.init, pointer)
        case DropoutSpec():
            cell = build_cell("output = x * keep", {"in": in_size, "keep": in_size}, inputs=("x", "keep"))
            return Layer(cell, "dropout", (), {}, {}, {}, pointer, dropout=spec.rate)
        case RecurrentSpec(cell=EquationsSpec() as equations):
            return _custom(spec, equations, in_size, pointer)
        case RecurrentSpec(cell=str(name)):
            return _built_in(spec, name, in_size, pointer)
    raise AssertionError(spec)


def build_sum(size: int, pointer: str) -> Layer:
    """Return the layer that ends a residual one: the sum of two signals."""
    cell = build_cell("output = x + y", {"in": size, "y": size}, inputs=("x", "y"))
    return Layer(cell, "residual", (), {}, {}, {}, pointer, name="")


def _dense(spec: DenseSpec, in_size: int, pointer: str) -> Layer:
    """Dense is a cell without state, in the same language as the others."""
    linear = "W @ x + b" if spec.bias else "W @ x"
    activation = "" if spec.activation == "identity" else spec.activation
    text = f"param W: out x in\noutput = {activation}({linear})"
    cell = build_cell(text, {"in": in_size, "out": spec.out_size})
    return _layer(cell, "dense", False, {}, (), spec.init, pointer)


def _built_in(spec: RecurrentSpec, name: str, in_size: int, pointer: str) -> Layer:
    built_in = BUILT_IN.get(name)
    if built_in is None:
        raise InvalidInput(
            f"no built-in cell is named {name[:64]!r}{_cell_hint(name)}",
            pointer=f"{pointer}/cell",
            expected=f"one of {', '.join(BUILT_IN)}, or an object with equations",
            actual=name[:64],
        )
    if spec.activation is not None and spec.activation not in built_in.activations:
        raise InvalidInput(
            f"the cell {name} takes no activation {spec.activation}",
            pointer=f"{pointer}/activation",
            expected=", ".join(built_in.activations) or "no activation",
            actual=spec.activation,
        )
    cell = build_cell(built_in.text(spec.activation), {"in": in_size, "hidden": spec.hidden_size})
    named = _INITIALISERS.validate_python(built_in.init)
    return _layer(cell, name, spec.trainable_state, named, built_in.stacked, spec.init, pointer)


_CELL_NAMES = {"elman": "rnn", "jordan": "rnn", "simplernn": "rnn", "vanilla": "rnn", "vanillarnn": "rnn"}


def _cell_hint(name: str) -> str:
    """Return which built-in cell may be meant by another name, or nothing."""
    plain = plain_name(name).removesuffix("cell")
    return suggestion(_CELL_NAMES.get(plain, plain), BUILT_IN)


def _custom(spec: RecurrentSpec, cell_spec: EquationsSpec, in_size: int, pointer: str) -> Layer:
    given = {"in": in_size, "hidden": spec.hidden_size}
    for name in sorted(given.keys() & cell_spec.sizes.keys()):
        raise InvalidInput(f"the size {name!r} is given by the layer", pointer=f"{pointer}/cell/sizes/{name}")
    if spec.activation is not None:
        raise InvalidInput("equations name their own activation", pointer=f"{pointer}/activation")
    try:
        cell = build_cell(cell_spec.equations, given | cell_spec.sizes)
    except CellError as error:
        error.pointer = f"{pointer}/cell/equations"
        raise
    shapes = {param.name: param.shape for param in cell.params}
    check_overrides(cell_spec.init, shapes, f"{pointer}/cell/init")
    return _layer(cell, "custom", spec.trainable_state, cell_spec.init, (), spec.init, pointer)


def _layer(
    cell: Cell,
    label: str,
    trainable_state: bool,
    named: Mapping[str, Initialiser],
    stacked: tuple[tuple[str, ...], ...],
    overrides: Mapping[str, Initialiser],
    pointer: str,
) -> Layer:
    trainable = cell.states if trainable_state else ()
    shapes: dict[str, Shape] = {param.name: param.shape for param in cell.params}
    for state in trainable:
        if f"{state.name}0" in shapes:
            raise InvalidInput(
                f"{state.name}0 names both a parameter and the initial value of the state {state.name}",
                pointer=f"{pointer}/cell/equations",
            )
        shapes[f"{state.name}0"] = (state.size,)
    check_overrides(overrides, shapes, f"{pointer}/init")
    init = {name: default(shape) for name, shape in shapes.items()} | dict(named) | dict(overrides)
    return Layer(cell, label, trainable, shapes, init, fans(shapes, stacked), pointer)
