"""Checks names of sessions in bodies and messages, which FastAPI does not check as it does those in paths."""

from functools import lru_cache

from cellar.errors import InvalidInput
from cellar.ports import NAME_IN_WORDS, SessionKey, is_name, shown_name


@lru_cache(maxsize=16384)
def session_key(tenant: str, name: str) -> SessionKey:
    """Return the session of a tenant with this name. The check is cached. Raise InvalidInput for an invalid name."""
    if not is_name(name):
        actual = shown_name(name)
        raise InvalidInput("not a name for a session", pointer="/session", expected=NAME_IN_WORDS, actual=actual)
    return SessionKey(tenant, name)
