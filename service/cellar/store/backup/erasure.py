"""The keys that are left of a tenant whose sessions, jobs, datasets and models were deleted by the service.

They are records of requests that can be repeated, with the specifications of versions, and lists with names.
"""

import redis

from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import text


def erase_rest(client: redis.Redis, prefix: str, tenant: str) -> int:
    """Delete these keys and return their number. Raise StoreUnavailable.

    The highest version number of each name stays, so that none is given to two models, and the time at which an alias
    was moved last, by which processes know whether their copies of the aliases are up to date.
    """
    models = f"{prefix}:{{models}}:{tenant}"
    kept = {f"{models}:highest", f"{models}:moved", f"{prefix}:{tenant}:indexed"}
    begins = (models, f"{prefix}:{{datasets}}:{tenant}", f"{prefix}:{{deletions}}:{tenant}", f"{prefix}:{tenant}")
    erased = 0
    for begin in begins:
        with redis_errors(outcome="unknown"):
            for key in client.scan_iter(match=f"{_literal(begin)}:*", count=1000):
                if text(key) not in kept:
                    erased += int(client.unlink(key))
    return erased


def _literal(name: str) -> str:
    """Return a pattern of Redis that matches a text alone."""
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in name)
