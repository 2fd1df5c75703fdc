"""Recurrent layers: a built-in cell over time, or a cell with equations of the user."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from cellar.errors import CellError, InvalidInput
from cellar.errors.suggestions import plain_name, suggestion
from cellar.nn.model.initialisers import check_overrides
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.spec.base import Frozen, ParameterName, Size
from cellar.nn.spec.initialisers import Initialisers

RecurrentActivation = Literal["tanh", "relu", "sigmoid", "softplus", "identity"]

_INITIALISERS: TypeAdapter[Initialisers] = TypeAdapter(Initialisers)


class EquationsSpec(Frozen):
    """A cell of one's own, in the cell language."""

    equations: str = Field(
        max_length=4096, description="Equations, one on each line: `h = tanh(Wxh @ x + Whh @ h + b)`."
    )
    sizes: dict[ParameterName, Size] = Field(
        default_factory=dict, description="Sizes by name that the equations declare besides `in` and `hidden`."
    )
    init: Initialisers = Field(
        default_factory=dict,
        description="How parameters begin, by name. Default: matrices glorot_uniform, everything else zeros.",
    )


def _cell_kind(value: Any) -> str:
    return "equations" if isinstance(value, dict | EquationsSpec) else "name"


class RecurrentSpec(LayerSpec):
    """A built-in cell over time, or one of your own equations."""

    type: Literal["recurrent"] = "recurrent"
    cell: Annotated[
        Annotated[str, Tag("name")] | Annotated[EquationsSpec, Tag("equations")], Discriminator(_cell_kind)
    ] = Field(description=f"A built-in cell by name ({', '.join(BUILT_IN)}), or equations.")
    hidden_size: Size
    proj_size: Size | None = Field(
        None,
        exclude_if=lambda size: size is None,
        description="Of the cell lstm_projected only: numbers of its output. Default: hidden_size.",
    )
    activation: RecurrentActivation | None = Field(None, description="Of the cell rnn only. Default: tanh.")
    trainable_state: bool = Field(False, description="Whether the initial state is trained; otherwise it is zero.")
    init: Initialisers = Field(
        default_factory=dict, description="How parameters begin, by name, instead of the default of the cell."
    )

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer of its cell."""
        if isinstance(self.cell, EquationsSpec):
            return _custom(self, self.cell, in_size, pointer)
        return _built_in(self, self.cell, in_size, pointer)

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield every built-in cell with each of its activations."""
        for name, built_in in BUILT_IN.items():
            for activation in built_in.activations or (None,):
                spec = cls.model_validate({"cell": name, "hidden_size": size, "activation": activation})
                yield spec.build(size, "").cell


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
    if spec.proj_size is not None and "proj" not in built_in.sizes:
        raise _no_projection(f"the cell {name}", spec.proj_size, pointer)
    sizes = dict.fromkeys(built_in.sizes, spec.proj_size or spec.hidden_size)
    cell = build_cell(built_in.text(spec.activation), {"in": in_size, "hidden": spec.hidden_size, **sizes})
    return make_layer(
        cell,
        name,
        spec.init,
        pointer,
        trainable_state=spec.trainable_state,
        named=_INITIALISERS.validate_python(built_in.init),
        stacked=built_in.stacked,
    )


def _no_projection(cell: str, size: int, pointer: str) -> InvalidInput:
    return InvalidInput(
        f"{cell} takes no proj_size", pointer=f"{pointer}/proj_size", expected="no proj_size", actual=str(size)
    )


_CELL_NAMES = {"elman": "rnn", "jordan": "rnn", "simplernn": "rnn", "vanilla": "rnn", "vanillarnn": "rnn"}


def _cell_hint(name: str) -> str:
    """Return a suggestion of the built-in cell that an unknown name may mean, or an empty text."""
    plain = plain_name(name).removesuffix("cell")
    return suggestion(_CELL_NAMES.get(plain, plain), BUILT_IN)


def _custom(spec: RecurrentSpec, cell_spec: EquationsSpec, in_size: int, pointer: str) -> Layer:
    given = {"in": in_size, "hidden": spec.hidden_size}
    for name in sorted(given.keys() & cell_spec.sizes.keys()):
        raise InvalidInput(f"the size {name!r} is given by the layer", pointer=f"{pointer}/cell/sizes/{name}")
    if spec.activation is not None:
        raise InvalidInput("equations name their own activation", pointer=f"{pointer}/activation")
    if spec.proj_size is not None:
        raise _no_projection("a cell with equations", spec.proj_size, pointer)
    try:
        cell = build_cell(cell_spec.equations, given | cell_spec.sizes)
    except CellError as error:
        error.pointer = f"{pointer}/cell/equations"
        raise
    shapes = {param.name: param.shape for param in cell.params}
    check_overrides(cell_spec.init, shapes, f"{pointer}/cell/init")
    return make_layer(cell, "custom", spec.init, pointer, trainable_state=spec.trainable_state, named=cell_spec.init)
