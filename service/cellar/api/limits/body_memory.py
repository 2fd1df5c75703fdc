"""A limit for the memory of all request bodies of a process that are not complete yet."""

from cellar.errors import Overloaded

SMALL_BYTES = 64 * 1024
"""A quarter of the memory is reserved for bodies up to this size, so that steps are served beside endless bodies."""


class BodyMemory:
    """Counts the bytes of incomplete bodies against a limit."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def share(self) -> "Share":
        """Return the share of one body, which is empty."""
        return Share(self)

    def take(self, more_bytes: int, size: int) -> None:
        """Add bytes of a body that has `size` bytes with them, or subtract some. Raise Overloaded."""
        most_bytes = self._most_bytes if size <= SMALL_BYTES else self._most_bytes * 3 // 4
        if more_bytes > 0 and self.held_bytes + more_bytes > most_bytes:
            raise Overloaded(
                f"bodies that are not all there hold {self.held_bytes} bytes, which is the service's limit"
                " (CELLAR_MAX_UNFINISHED_BYTES)"
            )
        self.held_bytes += more_bytes


class Share:
    """The part of the memory that one body takes."""

    __slots__ = ("_memory", "_size")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = 0

    def resize(self, size: int) -> None:
        """Set the size. Raise Overloaded, without a change, if the memory does not suffice."""
        if size != self._size:
            self._memory.take(size - self._size, size)
            self._size = size

    def release(self) -> None:
        """Set the size to zero."""
        self.resize(0)
