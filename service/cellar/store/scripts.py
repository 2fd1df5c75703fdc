"""Scripts: small Lua files, run by their hash on the link (`exchange.py`) and through redis-py (`Scripts`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis


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


class Scripts:
    """The scripts `names` of one synchronous store, each behind the same `prelude` ("" for none)."""

    def __init__(self, client: redis.Redis, prelude: str, names: Iterable[str]) -> None:
        before = (prelude,) if prelude else ()
        self._client = client
        self._scripts = {name: Script.load(*before, name) for name in names}

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        """Run one by its hash; a Redis that has forgotten it is given it again. Raise redis-py's errors.

        The text goes where the keys lie: of a cluster, to the primary that has to run it and to no other.
        """
        script = self._scripts[name]
        try:
            return self._client.evalsha(script.sha.decode(), len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self._client.eval(script.text.decode(), len(keys), *keys, *args)
