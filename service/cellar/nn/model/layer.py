"""A layer of a network in lowered form: a cell, the signals that it reads, and the initialisers of its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from cellar.engine import INPUT, Cell, Signal, State
from cellar.errors import InvalidInput
from cellar.nn.model.initialisers import Fan, Initial, Shape, check_overrides, default, fans
from cellar.nn.spec.initialisers import Initialiser


@dataclass(frozen=True, slots=True)
class Layer:
    """A cell over time, the signals that it reads, and its initialisers. Names of parameters have no prefix here."""

    cell: Cell
    label: str
    """The name of the cell in answers about states: "lstm", "dense", or "custom"."""
    trainable: tuple[State, ...]
    """The states whose initial value is a parameter, `h0` for `h`; either all states or none."""
    shapes: Mapping[str, Shape]
    init: Mapping[str, Initial]
    fans: Mapping[str, Fan]
    pointer: str
    """The JSON pointer of its specification in the request."""
    name: str = "0"
    """The prefix of its parameters' names: its number, and the direction of a bidirectional layer: "2.reverse".
    Empty for the sum at the end of a residual layer, which has no parameters."""
    number: int = 0
    """Its number among the layers of the specification that contain no others, depth first."""
    reads: tuple[Signal, ...] = (INPUT,)
    """A signal for each input of the cell, except the mask of dropout."""
    reverse: bool = False
    """Whether each row is read from its end to its start."""
    dropout: float | None = None
    """The rate of a dropout layer, which exists only in training; otherwise later layers read its input."""
    frozen: bool = False
    """Whether its parameters are never trained, because its kind computes them otherwise."""
    part: str = ""
    """The part of its kind that it is, which stands before the names of its states; empty for kinds of one layer."""

    def frozen_as(self, name: str, number: int, part: str, reads: tuple[Signal, ...]) -> "Layer":
        """Return it as a part of a kind of several layers that are not trained."""
        return replace(self, name=name, number=number, part=part, reads=reads, frozen=True)

    def as_frozen(self) -> "Layer":
        """Return it as a layer that is not trained."""
        return replace(self, frozen=True)

    @property
    def starts(self) -> list[tuple[str, slice]]:
        """Return the names of the parameters that are initial states, and their columns in the state of the layer."""
        edges = [0, *accumulate(state.size for state in self.trainable)]
        return [
            (f"{self.name}.{s.name}0", slice(*edge)) for s, edge in zip(self.trainable, pairwise(edges), strict=True)
        ]


def make_layer(
    cell: Cell,
    label: str,
    overrides: Mapping[str, Initialiser],
    pointer: str,
    *,
    trainable_state: bool = False,
    named: Mapping[str, Initial] | None = None,
    stacked: tuple[tuple[str, ...], ...] = (),
) -> Layer:
    """Return the layer of a cell. `named` are the initialisers of its kind, `overrides` those of the request.

    Raise InvalidInput with a pointer below `pointer`.
    """
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
    init: dict[str, Initial] = {name: default(shape) for name, shape in shapes.items()}
    init |= dict(named or {}) | dict(overrides)
    return Layer(cell, label, trainable, shapes, init, fans(shapes, stacked), pointer)
