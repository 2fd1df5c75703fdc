"""Checks the types of replies. A reply of another type means that a key does not hold what Cellar wrote."""

from typing import Any, TypeVar

from cellar.errors import StoreCorrupt

ReplyType = TypeVar("ReplyType")


def items(reply: object) -> list[Any]:
    """Return a reply that must be an array. Raise StoreCorrupt."""
    return _of(list, reply)


def raw(reply: object) -> bytes:
    """Return a reply that must be bytes. Raise StoreCorrupt."""
    return _of(bytes, reply)


def text(reply: object) -> str:
    """Return a reply that must be text. Raise StoreCorrupt."""
    try:
        return raw(reply).decode()
    except UnicodeDecodeError as error:
        raise StoreCorrupt("Redis holds bytes where text should be") from error


def number(reply: object) -> int:
    """Return a reply that must be a number. Raise StoreCorrupt."""
    return _of(int, reply)


def _of(kind: type[ReplyType], reply: object) -> ReplyType:
    if not isinstance(reply, kind):
        raise StoreCorrupt(f"Redis answers with {type(reply).__name__} where {kind.__name__} should be")
    return reply
