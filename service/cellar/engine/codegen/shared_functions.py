"""Outlines the loops of a large kernel into functions, which loops of the same form share.

Numba's time and memory grow with the square of a function's length. Loops that differ only in the places that they read
and write become one function with the places as arguments, so forty layer norms cost as much as one.
"""

import re
from collections.abc import Sequence

from cellar.engine.passes.memory_plan import DESCRIPTOR_HEAD

PART = "part_"
"""Prefix of the names of these functions. `compile_worker` does not inline them."""

_PLACE = re.compile(rf"\b(?:[dgsw]\d+|u|{'|'.join(DESCRIPTOR_HEAD)})\b")
"""Names that a part reads and does not assign: slots, sizes, widths, the step, and the head of the descriptor."""

_FAULTS = "faults"


class SharedFunctions:
    """The functions of one kernel."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """The name of a function by its text."""

    @property
    def lines(self) -> list[str]:
        """Return the definitions of all functions."""
        found: list[str] = []
        for text, name in self._names.items():
            found += ["@njit(error_model='numpy')", *f"def {name}{text}".splitlines(), ""]
        return found

    def call(self, lines: Sequence[str]) -> str:
        """Return a call that does the same as these lines, which are indented once."""
        body = "\n".join(lines)
        assigned = {"u"} if re.search(r"\bfor u in\b", body) else set()
        places = dict.fromkeys(name for name in _PLACE.findall(body) if name not in assigned)
        new = {name: f"p{index}" for index, name in enumerate(places)}
        body = _PLACE.sub(lambda word: new.get(word.group(), word.group()), body)
        arguments, names = ", ".join(places), ", ".join(new.values())
        if _FAULTS not in body:
            name = self._name(f"({names}):\n{body}\n")
            return f"{name}({arguments})"
        text = f"({names}):\n    {_FAULTS} = False\n{body}\n    return {_FAULTS}\n"
        return f"{_FAULTS} = {self._name(text)}({arguments}) or {_FAULTS}"

    def _name(self, text: str) -> str:
        return self._names.setdefault(text, f"{PART}{len(self._names)}")
