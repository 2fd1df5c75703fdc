"""Counts the messages in a protobuf file before it is parsed, because a million empty ones take a few bytes each.

Only lengths are read; which fields are messages is in the descriptors of the package onnx. The encoding:
protobuf.dev/programming-guides/encoding.
"""

from typing import Any

from cellar.errors import ImportRefused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 16


def count_messages(data: memoryview, descriptor: Any, limit: int, place: str) -> int:
    """Return how many messages and strings there are. Raise ImportRefused beyond the limit, or if it is no protobuf."""
    count = 0
    stack = [(data, descriptor, 0)]
    while stack:
        part, kind, depth = stack.pop()
        fields = {number: field.message_type for number, field in kind.fields_by_number.items()}
        texts = {number for number, field in kind.fields_by_number.items() if field.type == field.TYPE_STRING}
        at = 0
        while at < len(part):
            key, at = _varint(part, at, place)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                _, at = _varint(part, at, place)
            elif wire in (FIXED32, FIXED64):
                at += 4 if wire == FIXED32 else 8
            elif wire == BYTES:
                size, at = _varint(part, at, place)
                inner = fields.get(number)
                if inner is not None and inner.full_name.startswith("onnx."):
                    stack.append((part[at : at + size], inner, depth + 1))
                elif number in texts:
                    _check_text(part[at : at + size], place)
                at += size
                count += 1
            else:
                raise _damaged(place)
            if at > len(part) or number == 0:
                raise _damaged(place)
            if count > limit or depth > MAX_DEPTH:
                raise ImportRefused(
                    "the model has too many nodes, attributes and tensors, or graphs within each other",
                    place=place,
                    expected=f"at most {limit} together, and {MAX_DEPTH} levels",
                )
    return count


def _check_text(data: memoryview, place: str) -> None:
    """Raise ImportRefused unless a text is UTF-8: the package would return bytes where names are expected."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        raise _damaged(place) from None


def _varint(part: memoryview, at: int, place: str) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while shift < 64 and at < len(part):
        byte = part[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise _damaged(place)


def _damaged(place: str) -> ImportRefused:
    return ImportRefused("the file is no ONNX model, or is cut off", place=place, expected="a ModelProto")
