"""Decodes a JSON document strictly, with the place of the first fault.

orjson refuses invalid JSON. It also refuses numbers beyond float64, without their place, and accepts the last of
two members with the same name. Such documents are decoded again by the slower decoder of the standard library, whose
hooks find the place.
"""

import json
import math
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from cellar.errors import InvalidInput, MalformedJson, NotFinite
from cellar.wire.json.long_document import decode_long

SHORT_BYTES = 64 * 1024
"""Documents up to this size are decoded as a whole, in less than a millisecond."""

MOST_MEMBERS = 512
"""The most members of an object. No request has more, and pydantic would report a fault for each unknown one."""

_LEAVES = frozenset((str, int, float, bool, type(None)))


def decode(body: bytes) -> Any:
    """Return decoded JSON: UTF-8, finite doubles only, each member of an object once, at most 1024 levels deep.

    A byte order mark before it is skipped (RFC 8259, 8.1).

    In documents of more than `SHORT_BYTES` long arrays of numbers are `NumberText`, which `parse_array` reads.
    Raise NotFinite for NaN, Infinity or a number beyond float64, InvalidInput for a member that occurs twice
    (both with a pointer), MalformedJson for other faults, and BodyTooLarge for too much besides arrays of numbers.

    >>> decode(b'{"input": [1, 2.5]}')
    {'input': [1, 2.5]}
    """
    body = body.removeprefix(BOM_UTF8)
    return _decode(body) if len(body) <= SHORT_BYTES else decode_long(body, _decode)


def _decode(body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "allocate" in error.msg and (indented := _INDENTED.match(body)) is not None:
            return _decode(indented[2] + indented[1] + body[indented.end() :])
        if b"NaN" in body or b"Infinity" in body or "infinity" in error.msg:
            _refuse(body, parse_constant=_number, parse_float=_number, parse_int=_number)
        if "surrogate" in error.msg:
            _refuse_surrogates(body)
        raise MalformedJson(
            f"line {error.lineno} column {error.colno}: {error.msg}{_hint(body, error.pos)}",
            line=error.lineno,
            column=error.colno,
            offset=error.pos,
        ) from None
    count, widest = _count_members(document)
    if body.count(b":") != count:
        _refuse(body, object_pairs_hook=_object)
        _refuse_wide(document)
    elif widest > MOST_MEMBERS:
        _refuse_wide(document)
    return document


def _hint(body: bytes, at: int) -> str:
    """Return a hint what JSON has instead of the text at a character, or an empty text."""
    rest = body.decode(errors="replace")[at : at + 8]
    if not body.strip():
        return "; send a JSON document"
    if rest[:1] == "'":
        return "; strings and names stand in double quotes"
    if _PYTHON.match(rest):
        return "; JSON writes true, false and null"
    return "; names stand in double quotes" if _BARE_NAME.match(rest) and at else ""


_PYTHON = re.compile(r"(True|False|None)\b")
_BARE_NAME = re.compile(r"[A-Za-z_]\w*\s*(:|\w$)")

_INDENTED = re.compile(rb"[ \t\r\n]*+([\[{])([ \t\r\n]{2,}+)")
"""orjson assumes that such a document has white space everywhere, allocates too little memory for others, and
fails. Moving the white space before the bracket avoids this and does not change the document."""


def pointer_of(path: Sequence[str | int]) -> str:
    """Return the RFC 6901 JSON pointer of a path.

    >>> pointer_of(["layers", 0, "a/b"])
    '/layers/0/a~1b'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _count_members(document: Any) -> tuple[int, int]:
    """Return the number of members outside long arrays, and that of the largest object.

    Each member has a colon in the text, so if there are as many colons as members, no member occurs twice.
    """
    count, widest, values = 0, 0, [document]
    while values:
        value = values.pop()
        if type(value) is dict:
            count += len(value)
            widest = max(widest, len(value))
            values.extend(value.values())
        elif type(value) is list and value and type(value[0]) is dict:
            values.extend(value)
    return count, widest


def _refuse_wide(document: Any) -> None:
    """Raise InvalidInput for the first object that has too many members."""
    for path, value in _containers([document]):
        if isinstance(value, dict) and len(value) > MOST_MEMBERS:
            pointer, expected = pointer_of(path[1:]), f"an object of at most {MOST_MEMBERS} members"
            actual = f"one of {len(value)}"
            detail = f"{pointer or 'body'}: expected {expected}, found {actual}"
            raise InvalidInput(detail, pointer=pointer, expected=expected, actual=actual)


def _containers(document: list[Any]) -> Iterator[tuple[list[str | int], Any]]:
    """Yield an array, and the objects and arrays in it, in document order and without recursion.

    Each comes with its path, which is the same list each time: copies would take gigabytes in a deep document.
    """
    path: list[str | int] = []
    yield path, document
    stack = [_members(document)]
    while stack:
        for part, value in stack[-1]:
            if isinstance(value, dict | list):
                path.append(part)
                yield path, value
                stack.append(_members(value))
                break
        else:
            stack.pop()
            del path[-1:]


def _refuse_surrogates(body: bytes) -> None:
    """Raise InvalidInput for a text with half a surrogate pair (`\\ud800`). Return if the text is not JSON."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    for path, container in _containers([document]):
        named = isinstance(container, dict)
        if named and any(map(_HALF_PAIR.search, container)):
            raise _half_pair(path)
        for part, value in container.items() if named else enumerate(container):
            if isinstance(value, str) and _HALF_PAIR.search(value):
                raise _half_pair([*path, part])


def _half_pair(path: Sequence[str | int]) -> InvalidInput:
    pointer = pointer_of(path[1:])
    detail = f"{pointer or 'body'}: half of a surrogate pair is not a character"
    return InvalidInput(detail, pointer=pointer, expected="characters of Unicode", actual="half of a pair")


_HALF_PAIR = re.compile(f"[{chr(0xD800)}-{chr(0xDFFF)}]")  # mypyc takes no surrogates in literals


@dataclass(frozen=True, slots=True)
class _Fault:
    """A fault in the document in the place of a value."""

    kind: type[InvalidInput]
    expected: str
    actual: str


def _number(faults: list[_Fault], text: str) -> float | _Fault:
    value = float(text)
    if math.isfinite(value):
        return value
    faults.append(_Fault(NotFinite, "a finite number", text if len(text) < 30 else f"a number of {len(text)} digits"))
    return faults[-1]


def _object(faults: list[_Fault], members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        times = Counter(name for name, _ in members)
        for name in (name for name, count in times.items() if count > 1):
            faults.append(_Fault(InvalidInput, "one value", f"{times[name]} values"))
            found[name] = faults[-1]
    return found


def _refuse(body: bytes, **hooks: Any) -> None:
    """Raise the error of the first fault that the hooks find. Return if there is none, or if the text is not JSON."""
    faults: list[_Fault] = []
    with suppress(ValueError, RecursionError):
        noting: dict[str, Any] = {name: partial(hook, faults) for name, hook in hooks.items()}
        document = json.loads(body, **noting)
        for path, value in _leaves(document) if faults else ():
            if isinstance(value, _Fault):
                pointer = pointer_of(path)
                detail = f"{pointer or 'body'}: expected {value.expected}, found {value.actual}"
                raise value.kind(detail, pointer=pointer, expected=value.expected, actual=value.actual)


def _leaves(document: Any) -> Iterator[tuple[list[str | int], Any]]:
    """Yield the leaves with their paths, in document order, without recursion. Arrays without faults are skipped."""
    path: list[str | int] = []
    stack = [_members([document])]
    while stack:
        for part, value in stack[-1]:
            if isinstance(value, dict | list):
                path.append(part)
                stack.append(_members(value))
                break
            yield [*path, part][1:], value
        else:
            stack.pop()
            del path[-1:]


def _members(container: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    if isinstance(container, dict):
        return iter(container.items())
    return iter(()) if _LEAVES.issuperset(map(type, container)) else enumerate(container)
