"""Scripts of the synchronous stores: small Lua files, run by their hash through redis-py."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import redis


class Scripts:
    """The scripts `names` of one store, each behind the same `prelude` ("" for none)."""

    def __init__(self, client: redis.Redis, prelude: str, names: Iterable[str]) -> None:
        before = _read(prelude) + "\n" if prelude else ""
        self._scripts = {name: client.register_script(before + _read(name)) for name in names}

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        """Run one by its hash; a Redis that has forgotten it is given it again. Raise redis-py's errors."""
        return self._scripts[name](keys=keys, args=args)


def text(value: Any) -> str:
    """Return bytes that Redis answered as text; redis-py's types allow for more than bytes."""
    assert isinstance(value, bytes)
    return value.decode()


def _read(name: str) -> str:
    return (files("cellar.store") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
