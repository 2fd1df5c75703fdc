"""What an api process knows about the others of its service."""

import socket

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
