"""Snapshots in shared memory survive the processes that wrote them."""

import mmap
import os
import signal

from cellar.metrics.shared_page import HALF_BYTES, REGION_BYTES, SharedPage


def test_regions_are_read_as_they_were_written_last() -> None:
    with SharedPage.create(3) as page, SharedPage(os.dup(page.descriptor)) as other:
        assert other.regions == 3
        assert list(other.read_all()) == []
        for snapshot in (b"one", b"two", b"", b"three" * 1000):
            assert page.write(1, snapshot)
            assert list(other.read_all()) == [(1, snapshot)]
        assert page.write(0, b"another")
        assert dict(other.read_all()) == {0: b"another", 1: b"three" * 1000}


def test_a_snapshot_that_is_too_long_is_not_written() -> None:
    with SharedPage.create(1) as page:
        page.write(0, b"before")
        assert not page.write(0, bytes(HALF_BYTES))
        assert page.read(0) == b"before"


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_snapshot() -> None:
    with SharedPage.create(2) as page:
        child = os.fork()
        if not child:
            number = 0
            while True:
                number += 1
                page.write(1, str(number).encode() * 5000)
        seen: set[bytes] = set()
        while len(seen) < 50:
            data = page.read(1)
            if data:
                assert data == data[: len(data) // 5000] * 5000
                seen.add(data)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last = page.read(1)
        assert last is not None
        assert last == last[: len(last) // 5000] * 5000
        assert page.write(1, b"the next process")
        assert page.read(1) == b"the next process"


def test_a_damaged_snapshot_is_none() -> None:
    with SharedPage.create(1) as page, mmap.mmap(page.descriptor, REGION_BYTES) as memory:
        page.write(0, b"snapshot")
        at = memory.find(b"snapshot")
        memory[at] = 0
        assert page.read(0) is None
