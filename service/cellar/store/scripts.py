"""The Lua scripts of this package, by name."""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the hash by which a Redis that has seen it knows it."""

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, text: bytes) -> "Script":
        """Return the script of a text."""
        return cls(text, sha1(text, usedforsecurity=False).hexdigest().encode())

    @classmethod
    def load(cls, name: str) -> "Script":
        """Return the script in `lua/<name>.lua`."""
        return cls.of((files("cellar.store") / "lua" / f"{name}.lua").read_bytes())
