"""How much one client, or all of them together, may take of the service. docs/reference/limits.md has the table."""

from dataclasses import dataclass, field

from cellar.api.limits.backoff import ReadBackoff
from cellar.api.limits.body_memory import BodyMemory
from cellar.api.limits.round_robin import RoundRobin

MOST_HEADERS = 128
"""Headers of a request; usual ones have ten, through proxies thirty."""

MOST_TRAILER_BYTES = 8 * 1024
"""Trailers mean nothing here."""

BODY_BYTES_A_S = 1024
"""A body that comes slower than this over each `body_timeout_s`, or an answer that is taken so, is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings of these names say."""

    max_connections: int = 16384
    max_streams: int = 8192
    max_head_bytes: int = 64 * 1024
    head_timeout_s: float = 10
    body_timeout_s: float = 20
    stream_idle_s: float = 300
    max_unfinished_bytes: int = 256 * 1024 * 1024


@dataclass(slots=True)
class Load:
    """What the connections of a process share, and what they take of it."""

    limits: Limits
    round_robin: RoundRobin = field(default_factory=RoundRobin)
    backoff: ReadBackoff = field(default_factory=ReadBackoff)
    streams: int = 0
    """WebSockets that are open."""
    bodies: BodyMemory = field(init=False)

    def __post_init__(self) -> None:
        """Let bodies take what the limits say."""
        self.bodies = BodyMemory(self.limits.max_unfinished_bytes)
