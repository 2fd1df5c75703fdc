"""Encodes commands in RESP2, the wire format of Redis, and checks the types of replies."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cellar.errors import StoreCorrupt

Command = Sequence[bytes]
"""A command's name and its arguments."""

EncodedCommand = bytes
"""An encoded command, as `pack` makes it."""


class ReplyError(Exception):
    """An error reply. The message begins with the error code: `OOM command not allowed ...`."""


Reply = bytes | int | None | list["Reply"] | ReplyError


class _Sizes(dict[int, bytes]):
    """The bytes before an argument of a given size, formatted once for each common size."""

    def __missing__(self, size: int) -> bytes:
        return b"\r\n$%d\r\n" % size


SIZES = _Sizes((size, b"\r\n$%d\r\n" % size) for size in range(1024))


def pack(commands: Iterable[Command | EncodedCommand]) -> bytes:
    r"""Return the commands encoded as RESP, concatenated.

    >>> pack([(b"GET", b"a")])
    b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n'
    """
    parts: list[bytes] = []
    for command in commands:
        if isinstance(command, bytes):
            parts.append(command)
            continue
        parts.append(b"*%d" % len(command))
        parts += [part for argument in command for part in (SIZES[len(argument)], argument)]
        parts.append(b"\r\n")
    return b"".join(parts)


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
