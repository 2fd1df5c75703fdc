"""Writers: those who share a session and number their own requests, so that each of them can be recognised."""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

MAX_WRITERS = 64
"""Of a session. When one more comes, the one whose last request is the oldest is forgotten."""


@lru_cache(maxsize=4096)
def writer_mark(name: str) -> bytes:
    """Return 16 bytes that stand for a writer's name."""
    return blake2b(name.encode(), digest_size=16).digest()


@dataclass(slots=True)
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
    _places: dict[bytes, int] | None = field(default=None, compare=False, repr=False)
    """By mark; shared by those that follow each other, as long as nobody comes or leaves."""

    def last(self, name: str) -> int:
        """Return the number of the writer's last request, 0 if it is not known."""
        place = self._by_mark().get(writer_mark(name))
        return 0 if place is None else self.all[place].seq

    def place(self, name: str) -> int:
        """Return the place of a writer, or the one that a new writer gets."""
        place = self._by_mark().get(writer_mark(name))
        if place is not None:
            return place
        if len(self.all) < MAX_WRITERS:
            return len(self.all)
        return min(range(MAX_WRITERS), key=lambda index: self.all[index].revision)

    def after(self, name: str | None, seq: int | None, revision: int) -> "Writers":
        """Return the writers after a request at `revision`, the same where no writer sent it."""
        if name is None or seq is None:
            return self
        mark, place = writer_mark(name), self.place(name)
        places = self._places if mark in self._by_mark() else None
        return Writers((*self.all[:place], Writer(mark, seq, revision), *self.all[place + 1 :]), places)

    def _by_mark(self) -> dict[bytes, int]:
        if self._places is None:
            object.__setattr__(self, "_places", {writer.mark: place for place, writer in enumerate(self.all)})
        assert self._places is not None
        return self._places


NO_WRITERS = Writers()
