"""Bytes to a JSON document, strictly.

orjson refuses what is not JSON; it also refuses numbers beyond float64, without saying where, and takes the last of
two members of one name. Such documents are read a second time, by the slower reader of the standard library that can
be asked for the place.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from cellar.errors import InvalidInput, MalformedJson, NotFinite

_LEAVES = frozenset((str, int, float, bool, type(None)))


def decode(body: bytes) -> Any:
    """Return decoded JSON: UTF-8, finite doubles only, each member of an object once, at most 1024 levels deep.

    Raise NotFinite where NaN, Infinity or a number beyond float64 stands, InvalidInput where a member stands twice
    (both with a pointer), MalformedJson for all else.

    >>> decode(b'{"input": [1, 2.5]}')
    {'input': [1, 2.5]}
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body or "infinity" in error.msg:
            _refuse(body, parse_constant=_number, parse_float=_number, parse_int=_number)
        raise MalformedJson(
            f"line {error.lineno} column {error.colno}: {error.msg}",
            line=error.lineno,
            column=error.colno,
            offset=error.pos,
        ) from None
    if body.count(b":") != _count_members(document):
        _refuse(body, object_pairs_hook=_object)
    return document


def pointer_of(path: Sequence[str | int]) -> str:
    """Return the RFC 6901 JSON pointer of a path.

    >>> pointer_of(["layers", 0, "a/b"])
    '/layers/0/a~1b'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _count_members(document: Any) -> int:
    """Return how many members are found without looking into long arrays.

    Each has a colon in the text. As many colons as members: none stands twice, and none has escaped the count.
    """
    count, values = 0, [document]
    while values:
        value = values.pop()
        if type(value) is dict:
            count += len(value)
            values.extend(value.values())
        elif type(value) is list and value and type(value[0]) is dict:
            values.extend(value)
    return count


@dataclass(frozen=True, slots=True)
class _Fault:
    """What stands in the document where a value should."""

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
    """Raise the error of the first fault that the hooks find. Return if there is none, or if it is not JSON at all."""
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
    """Yield the leaves with their paths, in document order, without recursion; arrays of good leaves are left out."""
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
