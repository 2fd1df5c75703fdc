"""Exponential backoff between restarts."""


class RestartBackoff:
    """Tells when the next start is due. Times are those of one monotonic clock, in seconds.

    The first pause is `first_s`; each further one is twice as long, up to `longest_s`. After a run of `steady_s` the
    next pause is the first again.
    """

    def __init__(self, first_s: float, longest_s: float, steady_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._steady_s = steady_s
        self._pause_s = first_s
        self._started_s = float("-inf")
        self._due_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Return whether the pause is over."""
        return now_s >= self._due_s

    def started(self, now_s: float) -> None:
        """Record a start."""
        self._started_s = now_s

    def failed(self, now_s: float) -> float:
        """Record that the last start failed or what it started has ended. Return the pause before the next, seconds."""
        if now_s - self._started_s > self._steady_s:
            self._pause_s = self._first_s
        pause_s = self._pause_s
        self._due_s = now_s + pause_s
        self._pause_s = min(2 * pause_s, self._longest_s)
        return pause_s
