"""Finds the session of a message: the one in the socket's path, or the one that the message names."""

from cellar.api.decoding.session_name import session_key
from cellar.errors import InvalidInput
from cellar.ports import Caller, SessionKey


class SessionNames:
    """Finds the session of a message: that of the socket, or the one that the message names on a socket of many.

    `session` is None for a socket of many.
    """

    def __init__(self, caller: Caller, session: str | None) -> None:
        self._tenant = caller.tenant
        self.own = None if session is None else SessionKey(caller.tenant, session)

    def key(self, name: str | None) -> SessionKey:
        """Return the session that a message means by this name. Raise InvalidInput if the socket does not allow it."""
        own = self.own
        if own is None:
            if name is None:
                raise InvalidInput("which session?", pointer="/session", expected="a session", actual="nothing")
            return session_key(self._tenant, name)
        if name is not None and name != own.session:
            raise InvalidInput("another session", pointer="/session", expected=own.session, actual=name)
        return own

    def shown(self, name: str | None) -> str:
        """Return the session that the answer to a message names, whether or not the socket allows it."""
        return (name or "") if self.own is None else self.own.session
