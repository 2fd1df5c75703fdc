"""A request on its way, and the lane of one session in which requests go one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cellar.ports import Committed, Identity, SessionKey, SessionRecord
from cellar.runtime.answers import Floats, Mask
from cellar.runtime.network import Network
from cellar.runtime.positions import Kind

Edit = Callable[[SessionRecord, Network], Floats]
"""Return the state (rows, state_size) that a change which is not a step makes of a session. Raise what forbids it."""


@dataclass(slots=True, eq=False)
class Request:
    """A change that somebody waits for. `future` is theirs: cancelled, it harms nobody else."""

    key: SessionKey
    kind: Kind
    identity: Identity
    fingerprint: bytes
    nonce: bytes
    future: asyncio.Future[Committed]
    began_s: float
    """When it came, by the loop's clock."""
    inputs: Floats | None = None
    """(T, rows, in_size) of a step or a sequence."""
    reset: Mask | None = None
    """(rows,) those that begin with the initial state instead; None for none."""
    edit: Edit | None = None
    """What makes the new state, of a change that is not a step."""
    tried_s: float = 0.0
    """When it was last taken up, by the loop's clock."""
    lost: int = 0
    """Races lost to other processes."""
    ask_s: float = 0.0
    """How long the other processes are asked to leave the session alone, should it lose again."""


@dataclass(slots=True, eq=False)
class Lane:
    """What this process knows of a session, and who waits for it.

    `record` is speculation: another process may have moved the session on, and the commit script will tell.
    While `busy`, the first of `waiting` is on its way; a session is in one uncommitted tick at most.
    """

    key: SessionKey
    record: SessionRecord | None = None
    ahead: Floats | None = None
    """What the next step needs of the record's state alone, (rows, N), if somebody had the time; never stored."""
    waiting: deque[Request] = field(default_factory=deque)
    busy: bool = False

    @property
    def idle(self) -> bool:
        """Whether nobody needs the lane."""
        return not self.busy and not self.waiting
