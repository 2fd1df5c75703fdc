"""Lua scripts run through redis-py, for the synchronous stores of models, jobs and blobs."""

import math
from collections.abc import Sequence
from time import monotonic
from typing import Any

import redis

from cellar.errors import StoreUnavailable
from cellar.store.connection.rights import ARGUMENTS, RIGHTS, missing
from cellar.store.protocol.script import Script, load_script

CHECK_INTERVAL_S = 10.0
"""How often the rights of the Redis user are checked: an administrator may change them while the service runs."""


class Scripts:
    """The scripts in one folder of `lua/`. The files named in `prelude` come before each of them."""

    def __init__(self, client: redis.Redis, folder: str, *prelude: str) -> None:
        self._client = client
        self._folder = folder
        self._prelude = tuple(f"{folder}/{name}" for name in prelude)
        self._checked_s = -math.inf

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        """Run a script by its hash; a Redis that does not have it is sent the text. Raise redis-py's errors."""
        if monotonic() - self._checked_s > CHECK_INTERVAL_S:
            self._check_rights(f"{keys[0]}:probe")
        return self._run(load_script(*self._prelude, f"{self._folder}/{name}"), keys, args)

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float | bytes]) -> Any:
        try:
            return self._client.evalsha(script.sha.decode(), len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self._client.eval(script.text.decode(), len(keys), *keys, *args)

    def _check_rights(self, probe: str) -> None:
        """Raise StoreUnavailable if the user may not run all commands: none of them has been run then."""
        if (reason := missing(self._run(RIGHTS, [probe], ARGUMENTS))) is not None:
            raise StoreUnavailable(reason, outcome="not_applied")
        self._checked_s = monotonic()
