"""The shares of memory: processes and workers together take no more than their part, and each has enough to work."""

import pytest

from cellar.memory import shares
from cellar.memory.request_memory import LEAST_MEMORY_BYTES


def test_memory_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "memory_bytes", lambda: 64 * 1024**3)
    assert [shares.cache_bytes(number) for number in (1, 4)] == [8 * 1024**3, 2 * 1024**3]
    assert [shares.request_bytes(number) for number in (1, 4)] == [4 * 1024**3, 1024**3]
    assert [shares.job_bytes(number) for number in (0, 1, 4)] == [16 * 1024**3, 16 * 1024**3, 4 * 1024**3]


def test_a_small_machine_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "memory_bytes", lambda: 256 * 1024**2)
    assert shares.request_bytes(4) == LEAST_MEMORY_BYTES
    assert shares.job_bytes(2) == shares.LEAST_JOB_BYTES
