"""What bodies that are not all there may hold of the process, all together."""

from cellar.errors import Overloaded

SMALL_BYTES = 64 * 1024
"""A quarter of the memory is kept for bodies up to here: a few long ones that never end keep nobody from a step."""


class BodyMemory:
    """The bytes of unfinished bodies, of which there may be so many."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def share(self) -> "Share":
        """Return what one body takes of it: nothing yet."""
        return Share(self)

    def take(self, more_bytes: int, size: int) -> None:
        """Take more for a body that has `size` bytes then, or give some back. Raise Overloaded."""
        most_bytes = self._most_bytes if size <= SMALL_BYTES else self._most_bytes * 3 // 4
        if more_bytes > 0 and self.held_bytes + more_bytes > most_bytes:
            raise Overloaded(
                f"bodies that are not all there hold {self.held_bytes} bytes, which is the service's limit"
                " (CELLAR_MAX_UNFINISHED_BYTES)"
            )
        self.held_bytes += more_bytes


class Share:
    """What one body takes."""

    __slots__ = ("_memory", "_size")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = 0

    def resize(self, size: int) -> None:
        """Say how much is held now. Raise Overloaded, and stay as it is, if that is too much."""
        if size != self._size:
            self._memory.take(size - self._size, size)
            self._size = size

    def release(self) -> None:
        """Hold nothing any more."""
        self.resize(0)
