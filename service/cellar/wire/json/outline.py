"""Reads single members of a JSON object that was refused, such as its id, even if the rest is not valid JSON.

The answer to a refused message must have its session and id, and later steps of its session depend on it."""

import json
import re
from typing import Any, NamedTuple


def end_of_string(body: bytes, at: int) -> int:
    """Return the index after the closing quote of the string that is open at `at`, else the length of the body."""
    while (quote := body.find(b'"', at)) >= 0:
        before = quote
        while before > at and body[before - 1] == ord("\\"):
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        at = quote + 1
    return len(body)


MOST_TOKENS = 200_000
"""The most bytes that are searched, which takes 0.1 s. Names usually come before the numbers, or after few of them."""

MOST_BYTES = 2 + 6 * 256
"""The longest name or value that is read: a name of 256 bytes of which each is written `\\u0020`."""

_TOKEN = re.compile(rb'["\[\]{},:]|[^ \t\r\n"\[\]{},:]+')
_INNER = re.compile(rb'["\[\]{}]')
_INTEGER = re.compile(rb"-?[0-9]{1,20}(\.0{1,20})?")
_OPEN, _CLOSED = frozenset(b"[{"), frozenset(b"]}")


class Outline(NamedTuple):
    """The members of the outermost object that are short strings or integers, and whether it is readable to its end.

    If a name occurs twice, the value is the smaller of two numbers, or the string if both are equal; otherwise None.
    """

    members: dict[str, Any]
    readable: bool


def outline(body: bytes) -> Outline:
    """Return the members that can be read, none if the text is not an object."""
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
    """Return a short JSON string, None for anything else."""
    if quoted[:1] != b'"' or len(quoted) > MOST_BYTES:
        return None
    try:
        found: str = json.loads(quoted, strict=False)
        found.encode()
    except ValueError:
        return None
    return found
