"""The built-in cells: equations in the cell language, a data file each, and nothing that a user could not write."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class CellSpec:
    """A built-in cell as its file states it."""

    name: str
    title: str
    source: str
    equations: str
    activations: tuple[str, ...] = ()
    """What `activation` in the equations may stand for, the default first; empty where they do not use it."""
    stacked: tuple[tuple[str, ...], ...] = ()
    """Matrices that Flux keeps in one stacked array: together they make the fan of a glorot initialiser."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """Initialisers other than the default, as in a network's JSON: glorot uniform for matrices, zeros for the rest."""

    def text(self, activation: str | None = None) -> str:
        """Return the cell's text. Raise KeyError for an activation that the cell does not offer."""
        if not self.activations:
            return self.equations
        chosen = activation or self.activations[0]
        if chosen not in self.activations:
            raise KeyError(chosen)
        return self.equations.replace("activation", "" if chosen == "identity" else chosen)


def _load(name: str, text: str) -> CellSpec:
    data = tomllib.loads(text)
    return CellSpec(
        name,
        data["title"],
        data["source"],
        data["equations"].lstrip("\n"),
        tuple(data.get("activations", ())),
        tuple(tuple(group) for group in data.get("stacked", ())),
        data.get("init", {}),
    )


BUILT_IN: Mapping[str, CellSpec] = {
    path.name.removesuffix(".toml"): _load(path.name.removesuffix(".toml"), path.read_text("utf-8"))
    for path in sorted(files(__name__).iterdir(), key=lambda path: path.name)
    if path.name.endswith(".toml")
}
