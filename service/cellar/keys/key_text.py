"""The text of an API key: `cellar_<id>_<secret>`, both in characters that need no quoting anywhere."""

import re
import secrets
from typing import NamedTuple

PREFIX = "cellar_"
"""Begins every key, so that scanners of source code recognise one that was committed by mistake."""

ID_BYTES, SECRET_BYTES = 6, 32

_TEXT = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")


class KeyText(NamedTuple):
    """The parts of a key."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}_{self.secret}"


def new_key_text() -> KeyText:
    """Return the text of a new key, from the operating system's source of randomness."""
    return KeyText(secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))


def parse_key_text(text: str) -> KeyText | None:
    """Return the parts of a key, None if the text is none.

    >>> parse_key_text("cellar_00112233445566_x") is None
    True
    >>> parse_key_text("cellar_001122334455_" + 43 * "a").id
    '001122334455'
    """
    found = _TEXT.fullmatch(text)
    return None if found is None else KeyText(found[1], found[2])
