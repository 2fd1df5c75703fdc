"""Messages between the parent and an api process: JSON objects, one in a datagram of a socket pair.

The parent sends which slots live: `{"living": {"0": 4711, "1": 4712}}`, with the id of the process in each slot; and
`{"retire": true}` to a process that is replaced. A process sends `{"waiting": detail}` while its Redis is not usable,
and `{"ready": store}` once with what `/readyz` answers about the store.

A process that has changed what the others remember (an alias) sends `{"refresh": number}`. The parent passes it on as
`{"refresh": [process, number]}`. They answer `{"refreshed": [process, number]}`, and once all have, the parent sends
`{"refreshed": number}` to the process that has asked.
"""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

Message = Mapping[str, Any]

MOST_BYTES = 64 * 1024
"""More than any message: 64 slots take a kilobyte."""


class ControlChannel:
    """One end of the channel. Nothing blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return both ends of a new channel."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Return the descriptor, which is readable when there are messages."""
        return self._end.fileno()

    def send(self, message: Message) -> bool:
        """Send a message; return False if the other end is closed, or has not read those before."""
        with suppress(OSError):
            self._end.send(json.dumps(message).encode())
            return True
        return False

    def receive(self) -> list[Message]:
        """Return the messages that have arrived."""
        found: list[Message] = []
        with suppress(OSError):  # nothing more, or the other end is closed
            while data := self._end.recv(MOST_BYTES):
                found.append(json.loads(data))
        return found

    def close(self) -> None:
        """Close this end."""
        self._end.close()
