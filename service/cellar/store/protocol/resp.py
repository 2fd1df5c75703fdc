"""Encodes commands and parses replies in RESP2, the wire format of Redis."""

from collections.abc import Iterable, Sequence

from hiredis import Reader

Command = Sequence[bytes]
"""A command's name and its arguments."""

EncodedCommand = bytes
"""An encoded command, as `pack` makes it."""


class ReplyError(Exception):
    """An error reply. The message begins with the error code: `OOM command not allowed ...`."""


Reply = bytes | int | None | list["Reply"] | ReplyError

_INCOMPLETE = object()
"""Returned by the reader for an incomplete reply."""


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


class ReplyParser:
    r"""Parses replies from bytes that arrive in pieces of any size.

    >>> parser = ReplyParser()
    >>> parser.feed(b":7\r\n$3\r\nab"), parser.feed(b"c\r\n")
    ([7], [b'abc'])
    """

    def __init__(self) -> None:
        self._reader = Reader(protocolError=ValueError, replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self.busy = False
        """Whether an incomplete reply has been fed."""

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes and return the replies that they complete. Raise ValueError for bytes that are not RESP."""
        self._reader.feed(data)
        replies: list[Reply] = []
        while self._reader.has_data():
            reply = self._reader.gets()
            self.busy = reply is _INCOMPLETE
            if self.busy:
                break
            replies.append(reply)
        return replies
