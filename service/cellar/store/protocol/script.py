"""A script: a small Lua file, and the hash by which a Redis knows it."""

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
    def load(cls, *names: str) -> "Script":
        """Return the script in `lua/<name>.lua`; of several files, one behind the other."""
        folder = files("cellar.store") / "lua"
        return cls.of(b"\n".join((folder / f"{name}.lua").read_bytes() for name in names))
