"""The limits of connections, and the state that connections share to keep them. docs/reference/limits.md lists them."""

from dataclasses import dataclass, field

from cellar.api.limits.backoff import ReadBackoff
from cellar.api.limits.reader_turns import ReaderTurns
from cellar.api.limits.round_robin import RoundRobin
from cellar.api.limits.upload_space import UploadSpace
from cellar.memory.request_memory import LEAST_MEMORY_BYTES, RequestMemory

MOST_HEADERS = 128
"""Most headers of a request; usual ones have ten, or thirty behind proxies."""

MOST_TRAILER_BYTES = 8 * 1024
"""Most bytes of trailers, which have no meaning here."""

BODY_BYTES_A_S = 1024
"""Lowest rate, bytes a second over each `body_timeout_s`, at which a body must arrive or an answer be read."""


GOLDEN_RATIO = 0.6180339887
"""Multiples of it, without their integral part, are spread evenly, however many there are."""

UPLOADS = 4
"""Files of the largest size that may be on the disk at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of these names."""

    max_connections: int = 16384
    max_streams: int = 8192
    max_head_bytes: int = 64 * 1024
    head_timeout_s: float = 10
    body_timeout_s: float = 20
    stream_idle_s: float = 300
    max_weights_bytes: int = 256 * 1024 * 1024
    max_upload_bytes: int = 16 * 1024**3


@dataclass(slots=True)
class Load:
    """The state that the connections of a process share."""

    limits: Limits
    round_robin: RoundRobin = field(default_factory=RoundRobin)
    backoff: ReadBackoff = field(default_factory=ReadBackoff)
    streams: int = 0
    """WebSockets that are open."""
    memory: RequestMemory = field(default_factory=lambda: RequestMemory(LEAST_MEMORY_BYTES))
    """The memory that requests hold."""
    readers: ReaderTurns = field(default_factory=ReaderTurns)
    """Reads files of readings, and datasets for their statistics."""
    planners: ReaderTurns = field(default_factory=ReaderTurns)
    """Reads datasets for the plans of jobs and sweeps."""
    uploads: UploadSpace = field(init=False)
    _spread: float = 0.0

    def __post_init__(self) -> None:
        """Create the space for uploads."""
        self.uploads = UploadSpace(UPLOADS * self.limits.max_weights_bytes)

    def spread(self) -> float:
        """Return a number from 0 to 1, far from those before it, by which connections do the same at different times.

        >>> load = Load(Limits())
        >>> [round(load.spread(), 2) for _ in range(5)]
        [0.62, 0.24, 0.85, 0.47, 0.09]
        """
        self._spread = (self._spread + GOLDEN_RATIO) % 1.0
        return self._spread
