"""Writers of a session: clients that number their requests, so that a repeated request is recognised."""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

MAX_WRITERS = 64
"""Most writers of a session. For one more, the writer whose last request is the oldest is forgotten."""


@lru_cache(maxsize=4096)
def writer_mark(name: str) -> bytes:
    """Return the 16-byte hash of a writer's name."""
    return blake2b(name.encode(), digest_size=16).digest()


@dataclass(slots=True)
class Writer:
    """The last request of a writer."""

    mark: bytes
    seq: int
    revision: int
    """Revision of the session before that request."""


@dataclass(frozen=True, slots=True)
class Writers:
    """The writers of a session. The store keeps the last request of each under the writer's place in `all`."""

    all: tuple[Writer, ...] = ()
    _places: dict[bytes, int] | None = field(default=None, compare=False, repr=False)
    """Place by mark; successive values share it while the set of writers stays the same."""

    def last(self, name: str) -> int:
        """Return the number of the writer's last request, 0 if it is not known."""
        place = self._by_mark().get(writer_mark(name))
        return 0 if place is None else self.all[place].seq

    def place(self, name: str) -> int:
        """Return the place of a writer; of a new writer the place that it would get."""
        place = self._by_mark().get(writer_mark(name))
        if place is not None:
            return place
        if len(self.all) < MAX_WRITERS:
            return len(self.all)
        return min(range(MAX_WRITERS), key=lambda index: self.all[index].revision)

    def after(self, name: str | None, seq: int | None, revision: int) -> "Writers":
        """Return the writers after a request at `revision`; the same value if the request has no writer."""
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
