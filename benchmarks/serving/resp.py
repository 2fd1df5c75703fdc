"""Counts replies of Redis in the load generator, whose bytes are known beforehand."""

from benchmarks.serving.http import Refused


class Answers:
    """Counts requests whose replies are complete. Raises Refused if the replies are not `expected`."""

    def __init__(self, expected: bytes) -> None:
        self._expected = expected
        self._buffer = bytearray()

    def feed(self, data: bytes) -> int:
        """Read further bytes; return how many requests they complete."""
        self._buffer += data
        size = len(self._expected)
        complete = len(self._buffer) // size
        whole = complete * size
        rest = bytes(self._buffer[whole:])
        if self._buffer[:whole] != self._expected * complete or not self._expected.startswith(rest):
            raise Refused(f"Redis answers {bytes(self._buffer[:200])!r}")
        self._buffer[:] = rest
        return complete
