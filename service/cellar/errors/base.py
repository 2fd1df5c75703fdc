"""The root of all errors that Cellar raises on purpose."""

from typing import Any, ClassVar, Literal

Outcome = Literal["not_applied", "unknown", "applied_not_durable"]


class CellarError(Exception):
    """The root. `slug` is the stable name that clients may match on; `members` are what an error tells besides."""

    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    members: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, slug: str, title: str) -> None:
        cls.slug = slug
        cls.title = title

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def fields(self) -> dict[str, Any]:
        """Return the members that are known, by name."""
        found = {name: getattr(self, name) for name in self.members}
        return {name: value for name, value in found.items() if value is not None}
