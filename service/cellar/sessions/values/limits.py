"""The limits of the service of sessions, most of them settings of the same names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits of sessions, of their requests and of the caches of a process."""

    kernel_rev: int
    """The revision of the arithmetic with which this service computes."""
    default_ttl_s: int
    any_revision: bool = False
    """Whether sessions of another revision may be stepped; they then have this one."""
    max_batch_size: int = 4096
    max_sequence_steps: int = 65536
    max_numbers: int = 4 * 1024 * 1024
    """Numbers of the outputs of a request, and of the state of a session."""
    queue_limit: int = 4096
    queue_wait_s: float = 2.0
    most_together: int = 32
    """Steps of a session in one commit: as many as the replay window has entries."""
    cache_bytes: int = 64 * 1024 * 1024
    """Memory of the records of sessions."""
    state_every: int = 1
    """Steps of a session after which a commit stores its state again, if commits in between may store inputs."""
    model_cache_bytes: int = 512 * 1024 * 1024
    """Memory of the loaded models."""
