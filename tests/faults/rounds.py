"""What rounds with a kill each have led to, and the lines that say so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

BAR_S = 10.0
"""What was killed runs again within this."""


@dataclass
class Found:
    """What the kills of one kind have led to."""

    kind: str
    equal: int = 0
    kills: int = 0
    again_s: dict[str, list[float]] = field(default_factory=dict)
    """By victim, from each kill until the job ran again, or the session answered again, seconds."""
    faults: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda _line: None
    """Is called with a line about each kill."""

    def line(self) -> str:
        """Return a line for people."""
        late = "" if self.slowest_s <= BAR_S else f", NOT within {BAR_S:g} s"
        victims = (f"{len(after)} kills of the {victim}: {_times(after)}" for victim, after in self.again_s.items())
        every = [after_s for after in self.again_s.values() for after_s in after]
        return (
            f"{self.kind:8} {self.equal} of {self.kills} with equal bits; running again after {_times(every)}{late}"
            f" ({'; '.join(sorted(victims))})"
        )

    def add(self, victim: str, again_s: float, *, equal: bool, what: str) -> None:
        """Add a kill."""
        self.kills += 1
        self.again_s.setdefault(victim, []).append(again_s)
        self.equal += equal
        self.faults += [] if equal else [f"{what}: other bits"]
        bits = "equal bits" if equal else "OTHER BITS"
        self.say(f"{self.kind:8} {self.kills:3}: {victim} killed, running again after {again_s:.1f} s, {bits}")

    def fail(self, what: str, error: AssertionError) -> None:
        """Add a round that did not end."""
        self.kills += 1
        self.faults.append(f"{what}: {error}")
        self.say(f"{self.kind:8} {self.kills:3}: {what}: {error}")

    @property
    def slowest_s(self) -> float:
        """The longest time until something ran again."""
        return max((max(each) for each in self.again_s.values()), default=0.0)

    @property
    def is_good(self) -> bool:
        """Whether every kill has led to equal bits in time."""
        return self.equal == self.kills and not self.faults and self.slowest_s <= BAR_S


def _times(after_s: Sequence[float]) -> str:
    """Return the median and the longest of some times, for people."""
    if not after_s:
        return "no time"
    return f"{median(after_s):.1f} s in the median and {max(after_s):.1f} s at worst"
