"""The lines that a service prints about itself."""

import socket

import pytest

from cellar.embedded.announcement import Announcement, ready_lines, url_of

STORE = {"redis_version": "7.2.4", "durability": "always", "replicas": 0}


def test_one_ready_line_whatever_happened_before() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announcement = Announcement(listener, 2, said.append)
        announcement.waiting("Redis is loading its data")
        announcement.waiting("Redis is not answering")
        announcement.ready(STORE)
        announcement.ready(STORE)
        announcement.waiting("Redis is not answering")
        url = url_of(listener)
    assert said[0].endswith(f"listens at {url} but is not ready: Redis is loading its data")
    assert said[1].endswith(f"is ready at {url} with 2 processes (API: /docs)")
    assert said[2].startswith("  Redis 7.2.4: each acknowledged step is on its disk")
    assert len(said) == 3


@pytest.mark.parametrize(("processes", "text"), [(1, "ready at U (API"), (3, "ready at U with 3 processes (API")])
def test_processes_are_told_if_there_are_several(processes: int, text: str) -> None:
    assert text in next(iter(ready_lines("U", processes, STORE)))


def test_replicas_may_lack_steps() -> None:
    *_, last = ready_lines("U", 1, STORE | {"replicas": 1})
    assert "may lack the last acknowledged steps" in last
