"""The names in a JSON object that is refused: read without the rest, whatever is wrong with that.

A refused message must still say whose it was and which: the sender looks for that, and what follows depends on it.
"""

import json
import re
from typing import Any, NamedTuple

from cellar.wire.json.strings import end_of_string

MOST_TOKENS = 200_000
"""Looked at in a body, which takes a tenth of a second. Names stand before the numbers, or behind few of them."""

MOST_BYTES = 256
"""Of a name or a value. Longer ones are none of those that are looked for."""

_TOKEN = re.compile(rb'["\[\]{},:]|[^ \t\r\n"\[\]{},:]+')
_INNER = re.compile(rb'["\[\]{}]')
_INTEGER = re.compile(rb"-?[0-9]{1,20}(\.0{1,20})?")
_OPEN, _CLOSED = frozenset(b"[{"), frozenset(b"]}")


class Outline(NamedTuple):
    """The members of the outermost object that are short strings or integers, and whether it is readable to its end.

    Where a name stands twice, the value is the smaller of two numbers, and that of equal strings; else there is none.
    """

    members: dict[str, Any]
    readable: bool


def outline(body: bytes) -> Outline:
    """Return what can be read of an object; of what is none, nothing."""
    members: dict[str, Any] = {}
    depth = at = 0
    name = value = b""
    for _ in range(MOST_TOKENS):
        token = (_TOKEN if depth < 2 else _INNER).search(body, at)
        if token is None:
            return Outline(members, readable=False)
        at, text = token.end(), token[0]
        if text == b'"':
            at = end_of_string(body, at)
            text = body[token.start() : at]
        if depth == 0 and text != b"{":
            return Outline(members, readable=False)
        if text[0] in _OPEN:
            depth, value = depth + 1, b""
        elif text[0] in _CLOSED:
            depth -= 1
            if depth == 0:
                _note(members, name, value)
                return Outline(members, readable=not body[at:].strip())
        elif depth == 1 and text == b",":
            _note(members, name, value)
            name = value = b""
        elif depth == 1 and text == b":":
            name, value = value, b""
        elif depth == 1:
            value = text
    return Outline(members, readable=True)


def _note(members: dict[str, Any], name: bytes, value: bytes) -> None:
    key, found = _text(name), _text(value)
    if found is None and _INTEGER.fullmatch(value):
        found = int(value.partition(b".")[0])
    if key is None or found is None:
        return
    known = members.setdefault(key, found)
    if known != found:
        both = isinstance(known, int) and isinstance(found, int)
        members[key] = min(known, found) if both else None


def _text(quoted: bytes) -> Any:
    """Return a short string of JSON, None of anything else."""
    if quoted[:1] != b'"' or len(quoted) > MOST_BYTES:
        return None
    try:
        found: str = json.loads(quoted, strict=False)
        found.encode()
    except ValueError:
        return None
    return found
