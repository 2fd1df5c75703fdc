"""Writers: those who share a session and number their own requests, so that each of them can be recognised."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

MAX_WRITERS = 64
"""Of a session. When one more comes, the one whose last request is the oldest is forgotten."""


@lru_cache(maxsize=4096)
def writer_mark(name: str) -> bytes:
    """Return 16 bytes that stand for a writer's name."""
    return blake2b(name.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Writer:
    """The last request of a writer."""

    mark: bytes
    seq: int
    revision: int
    """Of the session before that request."""


@dataclass(frozen=True, slots=True)
class Writers:
    """The writers of a session, each in its place: where the store keeps the last request."""

    all: tuple[Writer, ...] = ()

    def last(self, name: str) -> int:
        """Return the number of the writer's last request, 0 if it is not known."""
        mark = writer_mark(name)
        return next((writer.seq for writer in self.all if writer.mark == mark), 0)

    def place(self, name: str) -> int:
        """Return the place of a writer, or the one that a new writer gets."""
        mark = writer_mark(name)
        for index, writer in enumerate(self.all):
            if writer.mark == mark:
                return index
        if len(self.all) < MAX_WRITERS:
            return len(self.all)
        return min(range(MAX_WRITERS), key=lambda index: self.all[index].revision)

    def after(self, name: str | None, seq: int | None, revision: int) -> "Writers":
        """Return the writers after a request at `revision`, the same where no writer sent it."""
        if name is None or seq is None:
            return self
        place = self.place(name)
        return Writers((*self.all[:place], Writer(writer_mark(name), seq, revision), *self.all[place + 1 :]))


NO_WRITERS = Writers()
