"""Lua scripts that Redis runs: their text, the hash by which Redis knows them, and calls of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Self


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script and its SHA-1, by which a Redis that has loaded it runs it."""

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Return the script of a text."""
        return cls(text, sha1(text, usedforsecurity=False).hexdigest().encode())

    def call(self, keys: Sequence[bytes], *arguments: bytes) -> "ScriptCall":
        """Return the command that runs the script on these keys."""
        return ScriptCall(self, keys, arguments)


class ScriptCall(list[bytes]):
    """An EVALSHA command that knows its script: a Redis that does not have the script is sent the text."""

    __slots__ = ("script",)

    def __init__(self, script: Script, keys: Sequence[bytes], arguments: Iterable[bytes]) -> None:
        super().__init__((b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments))
        self.script = script


@cache
def load_script(*names: str) -> Script:
    """Return the script in `lua/<name>.lua`; several files are joined in that order."""
    folder = files("cellar.store") / "lua"
    return Script.of(b"\n".join((folder / f"{name}.lua").read_bytes() for name in names))
