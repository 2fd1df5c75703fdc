"""Scripts: small Lua files, run by their hash on the link (`retry.py`) and through redis-py (`Scripts`)."""

import math
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

import redis

from cellar.errors import StoreUnavailable
from cellar.store.connection.rights import ARGUMENTS, RIGHTS, missing
from cellar.store.protocol.script import Script

ASK_AGAIN_S = 10.0
"""How often the rights of the user are asked for: somebody may take one away."""


class Scripts:
    """The scripts `names` of one synchronous store, each behind the same `prelude` ("" for none)."""

    def __init__(self, client: redis.Redis, prelude: str, names: Iterable[str]) -> None:
        before = (prelude,) if prelude else ()
        self._client = client
        self._asked_s = -math.inf
        self._scripts = {name: Script.load(*before, name) for name in names}

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        """Run one by its hash; a Redis that has forgotten it is given it again. Raise redis-py's errors.

        The text goes where the keys lie: of a cluster, to the primary that has to run it and to no other.
        """
        if monotonic() - self._asked_s > ASK_AGAIN_S:
            self._check_rights(f"{keys[0]}:probe")
        return self._run(self._scripts[name], keys, args)

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        try:
            return self._client.evalsha(script.sha.decode(), len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self._client.eval(script.text.decode(), len(keys), *keys, *args)

    def _check_rights(self, probe: str) -> None:
        """Raise StoreUnavailable if the user may not run all commands: none of them has been run then."""
        if (reason := missing(self._run(RIGHTS, [probe], ARGUMENTS))) is not None:
            raise StoreUnavailable(reason, outcome="not_applied")
        self._asked_s = monotonic()
