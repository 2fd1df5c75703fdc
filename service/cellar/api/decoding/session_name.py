"""Names of sessions that stand in a body or a message, and not in a path."""

import re
from functools import lru_cache

from cellar.errors import InvalidInput
from cellar.ports import NAME, NAME_IN_WORDS, SessionKey

_NAME = re.compile(NAME)


def is_name(name: str) -> bool:
    """Return whether a session may have this name."""
    return _NAME.fullmatch(name) is not None


@lru_cache(maxsize=16384)
def session_key(tenant: str, name: str) -> SessionKey:
    """Return a session of a tenant, looked at once for many steps. Raise InvalidInput for what is no name."""
    if not is_name(name):
        raise InvalidInput("not a name for a session", pointer="/session", expected=NAME_IN_WORDS, actual=name[:64])
    return SessionKey(tenant, name)
