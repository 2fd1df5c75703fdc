"""Protocol of the routers that carry commands to Redis: one connection, or one to each primary of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cellar.errors import StoreUnavailable
from cellar.store.protocol.resp import Command, EncodedCommand, Reply

ReplyCallback = Callable[[Sequence[int], "Sequence[Reply | StoreUnavailable]"], None]
"""Is called with the indices of some commands and the reply to each of them."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A WAIT after the commands, which ends when this number of replicas has them, or at the timeout."""

    replicas: int
    timeout_ms: int


class CommandReplies(NamedTuple):
    """The replies to the commands of a call, in their order."""

    replies: "list[Reply | StoreUnavailable]"
    """The reply of Redis, a ReplyError where it refused the command, StoreUnavailable where no reply came."""

    copies: Sequence[int] = ()
    """For each command how many replicas had it when its WAIT ended, 0 if WAIT was not answered; empty without a
    Wait."""


class Router(Protocol):
    """Sends each command to the Redis that owns its key. It never repeats a command that may have been applied."""

    fails_over: bool
    """Whether another server takes over when one is lost."""

    async def send(
        self,
        commands: Sequence[Command],
        *,
        before: Sequence[Command] = (),
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,
    ) -> CommandReplies:
        """Send the commands, in one write to each server, and return their replies.

        `before` are commands without a key that each of these servers gets first; their replies are dropped.
        `wait` is sent to each of these servers after the commands. With `in_order` a command runs only after those
        before it have been answered, also on other servers; commands after one that failed are not sent. With
        `together` a single server runs many commands as a few transactions (`transaction.py`).
        """

    def post(self, commands: Sequence[EncodedCommand], key: Callable[[int], bytes], on_replies: ReplyCallback) -> None:
        """Begin to send the commands `together`. `key(i)` is the key of command i.

        `on_replies` is called once for each server that has some of the commands, as soon as that server has answered,
        and never before `post` has returned. Each server gets the commands in the order of the calls of `post`, also
        if a connection has to be made first.
        """

    def parts(self, count: int, key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:
        """Return the numbers 0 to `count` - 1 in groups that go to the same server, as far as that is known."""

    async def primaries(self, key: bytes) -> "list[tuple[Router, bytes]]":
        """Return a router to each primary with a key on it that begins with `key`. Raise StoreUnavailable."""

    def drop(self) -> None:
        """Forget which servers are primaries; the next call finds out again."""

    async def aclose(self) -> None:
        """Close every connection. Calls under way end with an unknown outcome."""
