"""The base class of all errors that Cellar raises on purpose."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Outcome = Literal["not_applied", "unknown", "applied_not_durable"]


@dataclass(eq=False, repr=False)
class CellarError(Exception):
    """The base class. `slug` is a stable name for programs; `members` names further fields of the problem document."""

    detail: str

    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    members: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, slug: str, title: str) -> None:
        cls.slug = slug
        cls.title = title

    def __str__(self) -> str:
        return self.detail

    def fields(self) -> dict[str, Any]:
        """Return the members that have a value, by name."""
        found = {name: getattr(self, name) for name in self.members}
        return {name: value for name, value in found.items() if value is not None}
