"""What may happen to a request on its way, drawn from a seed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

Way = Callable[..., Awaitable[None]]


class Fault(Enum):
    """What happens to a request or its reply. Each names what the sender cannot tell from the others.

    TCP hands over no byte twice, and neither HTTP nor Redis has a name for a reply: a second reply to one request would
    be taken for that to the next. So what is duplicated is a request, over another connection, as a proxy does that
    tries again: AGAIN answers the second, ECHO the first.
    """

    LOST = "requests lost"
    """The connection is cut, and nothing has arrived."""
    TORN = "requests torn"
    """It is cut in the middle of the request."""
    GONE = "senders gone"
    """It is cut as soon as the request has been passed on: the answer is not delivered."""
    MUTE = "replies lost"
    """It is cut when the reply comes."""
    CROP = "replies torn"
    """It is cut in the middle of the reply."""
    HOLD = "requests delayed"
    LAG = "replies delayed"
    AGAIN = "requests sent twice"
    """It was carried out over another connection before it is passed on."""
    ECHO = "requests repeated later"
    """It is carried out over another connection once more, after others."""


@dataclass
class Schedule:
    """Draws what happens to each request: every fault with the same chance.

    The same seed draws the same faults in the same order. Which requests they meet depends on which comes first, as
    it does between processes: a seed repeats the weather, not the race.
    """

    seed: str
    chance: float
    """Of any fault at all."""
    longest_s: float = 0.03
    """How long a delay may be."""
    counts: Counter[Fault] = field(default_factory=Counter)
    calm: bool = False
    """Whether nothing happens at present."""

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def draw(self) -> Fault | None:
        """Return what happens to the next request."""
        if self.calm or self._random.random() >= self.chance:
            return None
        fault = self._random.choice(list(Fault))
        self.counts[fault] += 1
        return fault

    def pause_s(self) -> float:
        """Return the length of a delay."""
        return self._random.uniform(0, self.longest_s)

    async def later(self, way: Way, *arguments: Any) -> None:
        """Go a way after a delay."""
        await asyncio.sleep(self.pause_s())
        await way(*arguments)

    def either(self, count: int) -> int:
        """Return a number below `count`."""
        return self._random.randrange(count)
