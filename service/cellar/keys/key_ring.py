"""The API keys that a process knows, and the caller that each stands for.

Each process holds all keys, reads what has changed several times a second, and checks a key without asking the store.
So a revoked key ends everywhere within a second, and a key costs no round trip.
"""

import asyncio
import hmac
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Protocol

from cellar.errors import StartupError, StoreUnavailable, Unauthenticated
from cellar.keys.administration import KeyAdministration
from cellar.keys.key_text import parse_key_text
from cellar.keys.tickets import Tickets
from cellar.ports import ANYBODY, ApiKey, Caller, KeyChanges, granted

_log = logging.getLogger(__name__)

EVERY_S, UNUSED_S = 0.4, 30.0
"""Interval of the reads of changes, seconds; the second while no request needs a key, to find new tenants."""

MOST_KNOWN = 10_000
"""Credentials that were checked and are not checked again, by their text."""

UNKNOWN = "the API key is not known, has ended or was revoked"

NOT_READ = "the API keys have not been read yet"

OTHER_PEPPER = "the stored API keys were made under another pepper (CELLAR_KEY_PEPPER)"


class TokenReader(Protocol):
    """Checks credentials that are not API keys."""

    def refresh(self) -> bool:
        """Read what the check needs, and return whether it has changed. Raise StartupError."""
        ...

    def caller(self, text: str) -> Caller | None:
        """Return the caller, None if the text is no token. Raise Unauthenticated for one that is not valid."""
        ...

    def holds(self, caller: Caller) -> bool:
        """Return whether a token that was taken from the caller before is still one of a known signer."""
        ...


class KeyRing:
    """The keys of all tenants. `tokens` checks other credentials, if there are any."""

    def __init__(self, administration: KeyAdministration, tokens: TokenReader | None = None) -> None:
        self.administration = administration
        self._store, self._pepper, self._clock = administration.store, administration.pepper, administration.clock
        self._tokens = tokens
        self.tickets = Tickets(self._pepper, self._clock)
        self._keys: dict[str, ApiKey] = {}
        self._known: dict[str, Caller] = {}
        """Callers by the text of their credentials."""
        self._ends: list[float] = []
        """A heap of the times at which credentials end."""
        self._watches: dict[asyncio.Future[None], Caller] = {}
        self._read = -1
        """The revision of the store that was read last; -1 before the first read."""
        self._unread = NOT_READ
        """Why no keys were read yet."""
        self._tenants: frozenset[str] = frozenset()
        self._new_tenants: set[str] = set()
        """Tenants of tokens that the store may not have."""
        self.revision = 0
        """A number that changes whenever a caller that was returned before may have lost its rights."""

    async def refresh(self) -> None:
        """Read what has changed, and end keys whose time is over. Raise StoreUnavailable."""
        has_ended = await asyncio.to_thread(self._refresh_tokens)
        changes = await asyncio.to_thread(self._read_changes)
        now_s = self._clock.now_s()
        for key in changes.keys:
            self._keys[key.id] = key
            if key.expires_s is not None:
                heappush(self._ends, key.expires_s)
        self._read = changes.revision
        has_ended |= not all(key.is_live(now_s) for key in changes.keys)
        while self._ends and self._ends[0] <= now_s:
            heappop(self._ends)
            has_ended = True
        if has_ended:
            self._known = {}
            self.revision += 1
            for ended, caller in self._watches.items():
                if not ended.done() and not self.holds(caller):
                    ended.set_result(None)

    @property
    def tenants(self) -> Iterable[str]:
        """The tenants that have or had a key, and those of tokens."""
        return self._tenants

    def caller(self, text: str) -> Caller:
        """Return the caller with these credentials. Raise Unauthenticated, or StoreUnavailable if none was read yet."""
        known = self._known.get(text)
        if known is None:
            known = self._caller_of_token(text) or self._caller_of(self._find(text))
            if known.expires_s is not None:
                heappush(self._ends, known.expires_s)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[text] = known
        return known

    def caller_of_ticket(self, text: str) -> Caller:
        """Return the caller with the key that a ticket stands for. Raise Unauthenticated."""
        key = self._keys.get(self.tickets.key_of(text))
        if key is None or not key.is_live(self._clock.now_s()):
            raise Unauthenticated(UNKNOWN)
        return self._caller_of(key)

    def holds(self, caller: Caller) -> bool:
        """Return whether the credentials of a caller that was returned before are still valid."""
        now_s = self._clock.now_s()
        if caller.expires_s is not None:
            return now_s < caller.expires_s and self._tokens is not None and self._tokens.holds(caller)
        key = self._keys.get(caller.key)
        return key is not None and key.is_live(now_s)

    @contextmanager
    def watch(self, caller: Caller) -> Iterator["asyncio.Future[None]"]:
        """Return a future that has a result as soon as the credentials of the caller have ended."""
        ended = asyncio.get_running_loop().create_future()
        self._watches[ended] = caller
        try:
            yield ended
        finally:
            del self._watches[ended]

    def _read_changes(self) -> KeyChanges:
        """Return the changes since the last read, and exchange tenants with the store.

        Raise StoreUnavailable, also if the pepper is another one.
        """
        if self._read < 0 and not self._store.check_pepper(self._pepper.mark):
            self._unread = OTHER_PEPPER
            raise StoreUnavailable(OTHER_PEPPER, outcome="not_applied")
        if new := tuple(self._new_tenants):
            self._store.add_tenants(new)
            self._new_tenants.difference_update(new)
        changes = self._store.changes(max(self._read, 0))
        if changes.revision != self._read:
            self._tenants = frozenset(self._store.tenants())
        return changes

    def _refresh_tokens(self) -> bool:
        """Return whether tokens that were valid before must be checked again."""
        try:
            return self._tokens is not None and self._tokens.refresh()
        except StartupError as error:
            _log.warning("%s; tokens are checked with the keys that were read before", error)
            return False

    def _caller_of_token(self, text: str) -> Caller | None:
        """Return the caller with a token, None if the text is none. Raise Unauthenticated."""
        caller = None if self._tokens is None else self._tokens.caller(text)
        if caller is not None and caller.tenant not in self._tenants:
            self._new_tenants.add(caller.tenant)
        return caller

    @staticmethod
    def _caller_of(key: ApiKey) -> Caller:
        return Caller(key.tenant, granted(key.scopes), key.id)

    def _find(self, text: str) -> ApiKey:
        """Return the live key with this text. The comparison takes the same time for every wrong secret."""
        if self._read < 0:
            raise StoreUnavailable(self._unread, outcome="not_applied")
        parts = parse_key_text(text)
        key = None if parts is None else self._keys.get(parts.id)
        given = b"" if parts is None else self._pepper.digest(parts.secret)
        if key is None or not hmac.compare_digest(given, key.digest) or not key.is_live(self._clock.now_s()):
            raise Unauthenticated(UNKNOWN)
        return key


class Tenants(Iterable[str]):
    """All tenants, for background work on expired sessions, shadows and deleted models; more may come at any time."""

    def __init__(self, ring: KeyRing | None) -> None:
        self._ring = ring

    def __iter__(self) -> Iterator[str]:
        """Yield the tenant of callers without keys, and those that have or had one."""
        others: Iterable[str] = () if self._ring is None else self._ring.tenants
        return iter(sorted({ANYBODY.tenant, *others}))
