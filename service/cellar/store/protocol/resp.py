"""The wire format of Redis (RESP2), as much of it as a request and its answer need."""

from collections.abc import Iterable, Sequence

from hiredis import Reader

Command = Sequence[bytes]
"""A command's name and its arguments."""

Packed = bytes
"""A command as `pack` makes it."""


class ReplyError(Exception):
    """An answer that begins with `-`. The message has the code in front: `OOM command not allowed ...`."""


Reply = bytes | int | None | list["Reply"] | ReplyError

_INCOMPLETE = object()
"""What the reader returns for a reply that is not whole."""


class _Sizes(dict[int, bytes]):
    """What stands before an argument of a size, formatted once for nearly all of them."""

    def __missing__(self, size: int) -> bytes:
        return b"\r\n$%d\r\n" % size


SIZES = _Sizes((size, b"\r\n$%d\r\n" % size) for size in range(1024))


def pack(commands: Iterable[Command | Packed]) -> bytes:
    r"""Return the commands as one run of bytes.

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


class ReplyParser:
    r"""Turns bytes, in pieces of any size, into whole replies.

    >>> parser = ReplyParser()
    >>> parser.feed(b":7\r\n$3\r\nab"), parser.feed(b"c\r\n")
    ([7], [b'abc'])
    """

    def __init__(self) -> None:
        self._reader = Reader(protocolError=ValueError, replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self.busy = False
        """Whether a part of a reply has come that is not whole."""

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes and return the replies that are complete now. Raise ValueError for what is no reply."""
        self._reader.feed(data)
        replies: list[Reply] = []
        while self._reader.has_data():
            reply = self._reader.gets()
            self.busy = reply is _INCOMPLETE
            if self.busy:
                break
            replies.append(reply)
        return replies
