"""The wire format of Redis (RESP2), as much of it as a request and its answer need."""

from collections.abc import Iterable, Sequence

Command = Sequence[bytes]
"""A command's name and its arguments."""

Packed = bytes
"""A command as `pack` makes it."""


class ReplyError(Exception):
    """An answer that begins with `-`. The message has the code in front: `OOM command not allowed ...`."""


Reply = bytes | int | None | list["Reply"] | ReplyError


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
        self._pieces: list[bytes] = []
        self._length = 0
        self._need = 0
        self._open: list[
            tuple[list[Reply], int]
        ] = []  # arrays that lack items, each inside the one before; their sizes

    @property
    def busy(self) -> bool:
        """Whether a part of a reply has come that is not whole."""
        return self._length > 0 or bool(self._open)

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes and return the replies that are complete now. Raise ValueError for what is not RESP2."""
        self._pieces.append(data)
        self._length += len(data)
        replies: list[Reply] = []
        if self._length < self._need:  # a long item is put together and scanned once, not with each piece
            return replies
        data, at, self._need = b"".join(self._pieces), 0, 0
        while at < len(data):
            found = _scan(data, at)
            if isinstance(found, int):
                self._need = found - at
                break
            item, at, count = found
            if count:
                self._open.append(([], count))
            else:
                self._put(item, replies)
        self._pieces, self._length = [data[at:]], len(data) - at
        return replies

    def _put(self, item: Reply, replies: list[Reply]) -> None:
        """Add a whole item to the innermost array, the array to the one around it if that makes it whole, and so on."""
        while self._open:
            items, count = self._open[-1]
            items.append(item)
            if len(items) < count:
                return
            item, _ = self._open.pop()
        replies.append(item)


def _scan(data: bytes, at: int) -> tuple[Reply, int, int] | int:
    """Return the item that begins at `at`, where it ends, and how many items follow that belong to it.

    If it is not whole, return how long the data must be at least to hold it.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return len(data) + 1
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b":":
        return int(line), after, 0
    if kind == b"+":
        return line, after, 0
    if kind == b"-":
        return ReplyError(line.decode(errors="replace")), after, 0
    if kind == b"$":
        return _scan_bulk(data, after, int(line))
    if kind == b"*":
        count = int(line)
        return (None, after, 0) if count < 0 else ([], after, count)
    raise ValueError(f"not a Redis reply: {data[at : at + 40]!r}")


def _scan_bulk(data: bytes, after: int, size: int) -> tuple[Reply, int, int] | int:
    if size < 0:
        return None, after, 0
    end = after + size
    return (data[after:end], end + 2, 0) if len(data) >= end + 2 else end + 2
