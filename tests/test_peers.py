"""What an api process knows about the others of its service."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from cellar.ports.peers import Peers


def test_changes_are_told_once() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        peers = Peers(1, listener, ["/run/0", "/run/1", "/run/2"])
        told: list[dict[int, int]] = []
        peers.watch(lambda: told.append(dict(peers.processes)))
        assert (peers.own, len(peers.paths), peers.living) == (1, 3, frozenset())
        peers.update({1: 11, 2: 12})
        peers.update({1: 11, 2: 12})
        peers.update({1: 11, 2: 13})
        assert told == [{1: 11, 2: 12}, {1: 11, 2: 13}]
        assert peers.living == {1, 2}


def test_the_first_living_slot_does_what_is_done_once() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        peers = Peers(1, listener, ["/run/0", "/run/1"])
        first = [peers.is_first]
        for living in ({0: 10, 1: 11}, {1: 11}):
            peers.update(living)
            first.append(peers.is_first)
    assert first == [True, False, True], "at first nothing is known about others"


def test_the_end_is_told() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        peers = Peers(0, listener, ["/run/0", "/run/1"])
        told: list[str] = []
        peers.on_drain(lambda: told.append("stop"))
        peers.drain()
        assert told == ["stop"]


@pytest.mark.anyio
async def test_others_are_asked_to_refresh_and_waited_for() -> None:
    sent: list[Mapping[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as listener:

        def send(message: Mapping[str, Any]) -> bool:
            """Send a message."""
            sent.append(message)
            return True

        peers = Peers(0, listener, ["/run/0", "/run/1"], send)
        asking = asyncio.create_task(peers.refresh_others())
        await asyncio.sleep(0)
        assert sent == [{"refresh": 0}]
        peers.refreshed(1)
        assert not asking.done()
        peers.refreshed(0)
        await asking
        peers.refreshed(0)  # it is not awaited


@pytest.mark.anyio
async def test_what_another_process_has_changed_is_read() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        peers, read = Peers(0, listener, ["/run/0", "/run/1"]), asyncio.Event()

        async def note() -> None:
            """Note that it was read."""
            read.set()

        peers.on_refresh(note)
        await peers.refresh()
        await peers.refresh_others()  # the parent is gone: no process to wait for
    assert read.is_set()
