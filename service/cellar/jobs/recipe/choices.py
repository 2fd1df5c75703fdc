"""The choices of the recipe, with their reasons."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting that the request did not give."""

    field: str
    value: Any
    """As JSON."""
    why: str
    """A sentence."""
