"""Waiting for what another process does: looked at often, never longer than the deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(look: Callable[[], Found | None], within_s: float = 10, what: str = "what was waited for") -> Found:
    """Return the first true answer of `look`; fail after `within_s` seconds, naming what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)  # between two looks
