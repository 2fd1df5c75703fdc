"""Request ids: of the client if it sends one, else made for requests that fail.

They are answered and logged, so that a line of the log can be found by what a client has seen. `X-Request-Id` is the
name that proxies use; there is no standard.
"""

import re
import secrets
from itertools import count

HEADER = "X-Request-Id"
NAME = HEADER.lower().encode()
LINE = b"%s: %%s\r\n" % NAME

PATTERN = rb"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}"
"""The form of ids that are taken from clients: no blanks, quotes or controls, which could forge a line of the log."""

_ACCEPTED = re.compile(PATTERN)
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def accepted(sent: bytes | None) -> str | None:
    """Return the id that a client has sent, None if it has sent none or one that is not taken.

    >>> accepted(b"3f2a-1"), accepted(b"two words"), accepted(None)
    ('3f2a-1', None, None)
    """
    return None if sent is None or _ACCEPTED.fullmatch(sent) is None else sent.decode()


def new_request_id() -> str:
    """Return an id that no other request of any process has."""
    return f"{_PROCESS}-{next(_numbers):x}"
