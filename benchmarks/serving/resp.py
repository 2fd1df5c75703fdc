"""Replies of Redis as the load generator reads them: it knows beforehand what they have to be."""

from benchmarks.serving.http import Refused


class Answers:
    """Counts requests whose replies have all come. Raises Refused if they are not `expected`."""

    def __init__(self, expected: bytes) -> None:
        self._expected = expected
        self._buffer = bytearray()

    def feed(self, data: bytes) -> int:
        """Take bytes; return how many requests they complete."""
        self._buffer += data
        size = len(self._expected)
        complete = len(self._buffer) // size
        whole = complete * size
        rest = bytes(self._buffer[whole:])
        if self._buffer[:whole] != self._expected * complete or not self._expected.startswith(rest):
            raise Refused(f"Redis answers {bytes(self._buffer[:200])!r}")
        self._buffer[:] = rest
        return complete
