"""What a client asks of a session, and what it is told."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A step, or a sequence of steps, and how it is recognised when it comes again."""

    values: tuple[int, ...]
    """An input for each step."""
    sequence: bool = False
    position: str | None = None
    step: int | None = None
    writer: str | None = None
    seq: int | None = None
    key: str | None = None
    """The Idempotency-Key."""

    @property
    def identity(self) -> dict[str, Any]:
        """Return the members that say which request it is; the key is no member."""
        members = {"position": self.position, "step": self.step, "writer": self.writer, "seq": self.seq}
        return {name: value for name, value in members.items() if value is not None}

    @property
    def document(self) -> dict[str, Any]:
        """Return the body of the request in JSON."""
        inputs = {"inputs": [[x] for x in self.values]} if self.sequence else {"input": list(self.values)}
        return inputs | self.identity


@dataclass(frozen=True)
class Told:
    """What a client was told of its request."""

    outputs: bytes
    """float32, one for each step."""
    position: str
    """After the last step."""
    replayed: bool


class Refused(Exception):
    """The session, or the service, says no."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem))
        self.status = int(problem["status"])
        self.type = str(problem["type"]).rpartition(":")[2]
        self.outcome = problem.get("outcome")
        """Of a 503 of the store: `not_applied` or `unknown`."""


class Lost(Exception):
    """There was no answer, or not the whole of it."""

    def __init__(self, *, sent: bool, late: bool) -> None:
        super().__init__()
        self.sent = sent
        """Whether the request may have arrived."""
        self.late = late
        """Whether it was waited for in vain, and nothing broke."""
