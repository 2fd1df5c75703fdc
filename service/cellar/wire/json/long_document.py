"""Decodes long JSON documents except for their arrays of numbers, whose text is kept for `wire.numbers`.

A long request is an array of numbers with a few other members. These are decoded as usual; a long array
of numbers stays text (`NumberText`) until its shape is known. So at most
`MOST_OTHER_BYTES` of any document become Python objects, and no call of the decoder blocks other threads for long.
"""

import re
import secrets
from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np

from cellar.errors import BodyTooLarge, MalformedJson
from cellar.wire.json.outline import end_of_string
from cellar.wire.numbers.faults import malformed
from cellar.wire.numbers.text import NumberText, end_of_numbers

MOST_OTHER_BYTES = 1024 * 1024
"""The most bytes of a document besides its long arrays of numbers. A network of 64 layers with the longest cells has a
third of that."""

LEAST_BYTES = 1024
"""Arrays with shorter texts are decoded with the rest."""

_PIECE_BYTES = 256 * 1024
_STRING_OR_ARRAY = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|\[', re.DOTALL)
_BEGINS_NUMBERS = re.compile(rb"[\[ \t\r\n]*+(?:[-0-9\]]|\Z)|(?:[\[ \t\r\n,]|null)*+[-0-9]")
"""An array of numbers may begin with null, which stands for the numbers of a row."""
_QUOTE_OR_BRACKET = re.compile(rb'["\[\]]')


def decode_long(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    """Return the decoded document, in which long arrays of numbers are `NumberText`.

    `decode` decodes the rest. Raise its errors, BodyTooLarge if the rest is too long, and MalformedJson.
    """
    found = _cut(body)
    mark = secrets.token_hex(8)
    parts, at = [], 0
    for index, text in enumerate(found):
        parts += [body[at : text.start], b'"%b-%d"' % (mark.encode(), index)]
        at = text.stop
    rest = b"".join((*parts, body[at:]))
    try:
        document, count = _put_back(decode(rest), mark, found)
    except MalformedJson as error:
        at = _place_in_body(len(rest.decode(errors="replace")[: error.offset].encode()), found, mark)
        raise malformed(body, at, error.detail.partition(": ")[2]) from None
    if count != len(found):
        raise malformed(body, found[0].start, "an array of numbers where the name of a member should be")
    return document


def _cut(body: bytes) -> list[NumberText]:
    """Return the long arrays of numbers in a document. Raise BodyTooLarge if the rest is too long."""
    found: list[NumberText] = []
    at = cut = 0
    while at < len(body):
        limit = at + MOST_OTHER_BYTES - (at - cut) + 1
        token = _STRING_OR_ARRAY.search(body, at, limit)
        at = min(limit, len(body)) if token is None else token.end()
        if token is not None and body[token.start()] == ord("[") and _BEGINS_NUMBERS.match(body, at, at + LEAST_BYTES):
            text = _numbers_from(body, token.start())
            if text.stop - text.start >= LEAST_BYTES:
                found.append(text)
                cut += text.stop - text.start
            at = text.stop
        if at - cut > MOST_OTHER_BYTES:
            raise BodyTooLarge(
                f"a JSON body may have {MOST_OTHER_BYTES} bytes besides arrays of numbers, this one has more"
            )
    return found


def _numbers_from(body: bytes, start: int) -> NumberText:
    """Return the array that begins with the bracket at `start`. Raise MalformedJson if it has no end."""
    at, depth = start, 0
    while at < len(body):
        limit = min(len(body), at + _PIECE_BYTES)
        end = end_of_numbers(body, at, limit)
        piece = np.frombuffer(body, np.uint8, end - at, at)
        steps = (piece == ord("[")).astype(np.int8) - (piece == ord("]"))
        depths = depth + np.cumsum(steps, dtype=np.int32)
        closed = np.flatnonzero(depths == 0)
        if len(closed):
            return NumberText(body, start, at + int(closed[0]) + 1)
        depth = int(depths[-1]) if len(depths) else depth
        sleep(0)  # yields the interpreter lock now, and not after the switch interval of 5 ms
        if end < limit:
            return NumberText(body, start, _end_of_array(body, end, depth), end)
        at = end
    raise malformed(body, len(body), "an array without an end")


def _end_of_array(body: bytes, at: int, depth: int) -> int:
    """Return the index after the bracket that closes `depth` arrays. Raise MalformedJson if there is none."""
    while (token := _QUOTE_OR_BRACKET.search(body, at)) is not None:
        at = token.end()
        if token[0] == b'"':
            at = end_of_string(body, at)
            continue
        depth += 1 if token[0] == b"[" else -1
        if depth == 0:
            return at
    raise malformed(body, len(body), "an array without an end")


def _put_back(document: Any, mark: str, found: list[NumberText]) -> tuple[Any, int]:
    """Return the document with the marks replaced by their texts, and the number of marks."""
    root = [document]
    count = 0
    holders: list[Any] = [root]
    while holders:
        holder = holders.pop()
        for part, value in [*(holder.items() if isinstance(holder, dict) else enumerate(holder))]:
            if isinstance(value, str):
                if value.startswith(mark):
                    holder[part] = found[int(value.partition("-")[2])]
                    count += 1
            elif isinstance(value, dict | list):
                holders.append(value)
    return root[0], count


def _place_in_body(offset: int, found: list[NumberText], mark: str) -> int:
    """Return the offset in the body of an offset in the text that was decoded."""
    for index, text in enumerate(found):
        if offset <= text.start:
            break
        offset += (text.stop - text.start) - len(f'"{mark}-{index}"')
    return offset
