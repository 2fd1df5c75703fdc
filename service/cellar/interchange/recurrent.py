"""Converts recurrent layers of other frameworks: to a built-in cell, or to its equations with other activations.

    i = sigmoid(Wi_i @ x + Wh_i @ h + b_i)

An activation that the cell does not have, and a limit on what activations read, become equations for that layer:

    v_i = Wi_i @ x + Wh_i @ h + b_i
    i = min(max(0.2 * v_i + 0.5, 0), 1)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.cells import BUILT_IN
from cellar.errors import CellError, ImportRefused
from cellar.interchange.activations import Activation, number_text
from cellar.interchange.stacking import unstack
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec

Array = NDArray[np.float32]

_GATE = re.compile(r"(?P<target>\w+) = (?P<before>.*?)(?P<function>sigmoid|tanh|activation)\((?P<argument>.*)\)")
"""An equation of a built-in cell that ends in an activation of something."""

ROLES: Mapping[str, Mapping[str, str]] = {
    "rnn": {"h": "f"},
    "lstm": {"i": "f", "f": "f", "o": "f", "g": "g", "h": "h"},
    "lstm_peephole": {"i": "f", "f": "f", "o": "f", "g": "g", "h": "h"},
    "gru": {"r": "f", "z": "f", "n": "g"},
    "gru_torch": {"r": "f", "z": "f", "n": "g"},
    "gru_v3": {"r": "f", "z": "f", "n": "g"},
}
"""By cell, which activation stands in each equation: f of the gates, g of the candidate, h of the LSTM's output."""

DEFAULTS = {"f": Activation("sigmoid"), "g": Activation("tanh"), "h": Activation("tanh")}


@dataclass(frozen=True, slots=True)
class RecurrentForm:
    """A built-in cell, with other activations where a layer needs them."""

    cell: str
    activations: Mapping[str, Activation]
    """By role: f, g and h; those left out are as in the built-in cell."""
    clip: float | None = None
    """Bounds what the activations of gates and candidate read to -clip ... clip.

    The text of ONNX may be read as if it also bounded what the LSTM's output function reads, the memory cell. ONNX
    Runtime and OpenVINO do not, and neither does this.
    """

    def spec(self, hidden_size: int, *, trainable_state: bool = False) -> RecurrentSpec:
        """Return the layer: the built-in cell if nothing differs, else equations with the same names."""
        chosen = {"f": Activation("tanh")} if self.cell == "rnn" else DEFAULTS
        chosen = chosen | {role: self.activations[role] for role in chosen if role in self.activations}
        if self.clip is None and self.cell == "rnn":
            plain = chosen["f"].name
            if plain in BUILT_IN["rnn"].activations:
                activation = None if plain == "tanh" else plain
                return RecurrentSpec(
                    cell="rnn",
                    hidden_size=hidden_size,
                    activation=activation,  # type: ignore[arg-type]  # the name was looked up in the table
                    trainable_state=trainable_state,
                )
        elif self.clip is None and all(chosen[role] == DEFAULTS[role] for role in chosen):
            return RecurrentSpec(cell=self.cell, hidden_size=hidden_size, trainable_state=trainable_state)
        equations = EquationsSpec(equations=self._equations(chosen))
        return RecurrentSpec(cell=equations, hidden_size=hidden_size, trainable_state=trainable_state)

    def _equations(self, chosen: Mapping[str, Activation]) -> str:
        """Return the built-in cell's equations with these activations."""
        lines: list[str] = []
        for line in BUILT_IN[self.cell].equations.splitlines():
            match = _GATE.fullmatch(line)
            if match is None:
                lines.append(line)
                continue
            role = ROLES[self.cell][match["target"]]
            lines += _gate(match, chosen[role], None if role == "h" else self.clip)
        return "\n".join(lines)


def _gate(match: re.Match[str], activation: Activation, clip: float | None) -> list[str]:
    """Return the equations of one gate."""
    target, argument = match["target"], match["argument"]
    if clip is not None:
        limit = number_text(clip)
        argument = f"min(max({argument}, -{limit}), {limit})"
    if activation.plain and activation.name != "identity":
        return [f"{target} = {match['before']}{activation.of(argument)}"]
    value = activation.of(f"v_{target}")
    value = f"({value})" if match["before"] else value
    return [f"v_{target} = {argument}", f"{target} = {match['before']}{value}"]


def cell_for(framework: str, layer: str, **options: Any) -> str:
    """Return the built-in cell that a framework calls by this name, with these options."""
    return next(
        cell.name
        for cell in BUILT_IN.values()
        if (layout := cell.layouts.get(framework)) is not None and layout.layer == layer and layout.options == options
    )


def recurrent_weights(
    form: RecurrentForm, framework: str, arrays: Mapping[str, Array], sizes: tuple[int, int], names: Mapping[str, str]
) -> dict[str, Array]:
    """Return the cell's parameters from a framework's arrays; `sizes` are (input, hidden).

    `names` gives the arrays' names in the file, for errors. Raise ImportRefused for arrays that do not fit, and for
    equations that are more than a cell may have.
    """
    in_size, hidden_size = sizes
    place = next(iter(names.values()), form.cell)
    try:
        layer = form.spec(hidden_size).build(in_size, "")
    except CellError as error:
        raise ImportRefused(
            f"the layer's equations are no cell: {error.detail}", place=place, expected=error.expected
        ) from error
    return unstack(BUILT_IN[form.cell].layouts[framework], arrays, layer.shapes, names=names)
