"""What carries commands to Redis: one link, or a link to each primary of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cellar.errors import StoreUnavailable
from cellar.store.protocol.resp import Command, Packed, Reply

Told = Callable[[Sequence[int], "Sequence[Reply | StoreUnavailable] | None"], None]
"""Is told of some commands which they are, and what became of each (`Replies.replies`); None if all were answered 0."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait, after the commands, until so many replicas have them or the time is over."""

    replicas: int
    timeout_ms: int


class Replies(NamedTuple):
    """What became of the commands of a call, in their order."""

    replies: "list[Reply | StoreUnavailable]"
    """What Redis answered; ReplyError where it refused; StoreUnavailable where no answer came."""

    copies: Sequence[int] = ()
    """For each command how many replicas had it when its WAIT ended, 0 if none was answered; empty without a Wait."""


class Router(Protocol):
    """Sends each command to the Redis that keeps its key. Nothing is ever sent again that may have been applied."""

    fails_over: bool
    """Whether another server is expected to take over from one that is lost."""

    async def tell(
        self,
        commands: Sequence[Command],
        *,
        before: Sequence[Command] = (),
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,
    ) -> Replies:
        """Send the commands, in one write to each server that has some of them, and return what became of them.

        `before` are commands without a key that each of these servers is given first; their replies are dropped.
        `wait` ends the write to each of these servers. `in_order`: a command runs only when those before it have been
        answered, also where they go to other servers; what comes after one that was not is not sent. `together`: a
        server of its own, that is no part of a cluster, takes many of them as one (`transaction.py`).
        """

    def post(self, commands: Sequence[Packed], key: Callable[[int], bytes], told: Told) -> None:
        """Begin what `tell` does `together`. `key` is asked for the key of a command, by its number.

        `told` is called, never from within, once for each part of the commands that went to a server of its own, as
        soon as that has answered. What is posted goes to each server in the order in which it was, also where a
        connection has to be made first.
        """

    def parts(self, count: int, key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:
        """Return which of so many commands go to the same server, as far as that is known; `key` is `post`'s."""

    async def primaries(self, key: bytes) -> "list[tuple[Router, bytes]]":
        """Return a route to each primary and a name that begins like `key` and lies there. Raise StoreUnavailable."""

    def drop(self) -> None:
        """Give up what is known of who is primary; it is found out anew."""

    async def aclose(self) -> None:
        """Close every connection. Calls under way end with an unknown outcome."""
