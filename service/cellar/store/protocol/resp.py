"""Encodes commands in RESP2, the wire format of Redis."""

from collections.abc import Iterable, Sequence

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
