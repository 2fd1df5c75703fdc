"""Limits the bytes of uploaded files that are on the disk at the same time."""

from cellar.errors import Overloaded


class UploadSpace:
    """The bytes of all files that are being received or read."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def take(self, count: int) -> None:
        """Take room for more bytes. Raise Overloaded."""
        if self.held_bytes + count > self._most_bytes:
            raise Overloaded(
                f"files that are being received have {self.held_bytes} bytes, and there is room for {self._most_bytes}"
            )
        self.held_bytes += count

    def give_back(self, count: int) -> None:
        """Return room that was taken."""
        self.held_bytes -= count
