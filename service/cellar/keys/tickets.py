"""Tickets: they stand for a key for some seconds, in URLs of WebSockets and event streams.

Browsers let a page set no header there.

A ticket is `<id>.<expiry>.<signature>`. It is not stored: the signature is that of the pepper, and a ticket ends with
its key. It lasts for seconds only, because URLs stand in the logs of proxies.
"""

import hmac
from typing import NamedTuple

from cellar.errors import Unauthenticated
from cellar.keys.pepper import Pepper
from cellar.ports import Clock

LASTS_S = 30

REFUSED = "the ticket is not valid, or its time is over: POST /v1/tickets makes one"


class Ticket(NamedTuple):
    """A ticket, and when it ends in seconds since the Unix epoch."""

    text: str
    expires_s: int


class Tickets:
    """Makes and checks tickets."""

    def __init__(self, pepper: Pepper, clock: Clock) -> None:
        self._pepper = pepper
        self._clock = clock

    def make(self, key: str) -> Ticket:
        """Return a ticket for the key with this id."""
        expires_s = int(self._clock.now_s()) + LASTS_S
        return Ticket(f"{key}.{expires_s}.{self._sign(key, expires_s)}", expires_s)

    def key_of(self, text: str) -> str:
        """Return the id of the key that a ticket stands for. Raise Unauthenticated."""
        key, _, rest = text.partition(".")
        end, _, signature = rest.partition(".")
        if not (end.isascii() and end.isdigit() and len(end) <= 12 and signature.isascii()):
            raise Unauthenticated(REFUSED)
        if not hmac.compare_digest(signature, self._sign(key, int(end))) or self._clock.now_s() >= int(end):
            raise Unauthenticated(REFUSED)
        return key

    def _sign(self, key: str, expires_s: int) -> str:
        return self._pepper.digest(f"ticket {key} {expires_s}").hex()
