"""One session, blocking."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from cellar_client.arrays.inputs import Floats, Inputs
from cellar_client.core.effects import Operation, Result
from cellar_client.core.session import Reset, SessionCore
from cellar_client.core.stream import StreamCore
from cellar_client.sync.driver import Driver
from cellar_client.sync.stream import Stream
from cellar_client.values import Answer, Document


class Session:
    """A session of one client. `Client.session` returns one.

    Every request carries the position of the last answer, and is sent again until it is answered; it is applied once.
    Several clients that step one session use streams, each with a `writer` of its own.
    """

    def __init__(self, core: SessionCore, driver: Driver) -> None:
        self.core = core
        self._driver = driver
        self._lock = threading.Lock()
        """Two requests at one position would be taken for one that is repeated."""

    def __repr__(self) -> str:
        return f"<Session {self.name} at {self.position}>"

    @property
    def name(self) -> str:
        """Name of the session."""
        return self.core.name

    @property
    def position(self) -> str:
        """Position in the last answer."""
        return self.core.position

    @property
    def count(self) -> int:
        """Number of steps and sequences that were answered since the session was opened, or its state file begun."""
        return self.core.count

    @property
    def recovered(self) -> Answer | None:
        """The answer to the request that was under way when a former process with the same state file ended."""
        return self.core.recovered

    def step(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply one step, (F) or (B, F), and return its answer. `reset` puts rows into the initial state before it."""
        return self._run(self.core.step(inputs, reset))

    def sequence(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply several steps, (T, F) or (T, B, F), all or none. A table with a row for each step gives a table."""
        return self._run(self.core.sequence(inputs, reset))

    def stream(
        self, writer: str | None = None, state: str | os.PathLike[str] | None = None, *, remember: int = 1024
    ) -> Stream:
        """Return a stream of steps over a WebSocket, to be used in a `with` block.

        `state` is a file with which the stream continues after a crash of this process. Without a file, a `writer`
        (a name that no other client of the session has) continues behind its last request. With neither, the stream
        is a new writer. `remember` is how many answered steps can be sent again if Redis loses them.
        """
        core = StreamCore(self.name, self.core.info["batch_size"], writer, state, self.core.give_up_s, remember)
        return Stream(core, self._driver.for_stream())

    def refresh(self) -> Document:
        """Read the session, and continue from its present position, also if another client has changed it."""
        return self._run(self.core.refresh())

    def state(self) -> dict[str, Floats]:
        """Return the whole hidden state: an array (B, size) for each state, named as `layers.0.h`."""
        return self._run(self.core.read_state())

    def write_state(self, states: Mapping[str, Any]) -> Document:
        """Replace the whole hidden state by arrays named as those of `state`."""
        return self._run(self.core.write_state(states))

    def reset(self, rows: Sequence[int] | None = None) -> Document:
        """Put the session, or some rows of it, into the initial state."""
        return self._run(self.core.change("POST", "reset", {} if rows is None else {"rows": list(rows)}))

    def fork(self, names: Sequence[str]) -> list["Session"]:
        """Create sessions with these names that begin with the present state. Raise Problem if one is refused."""
        children = self._run(self.core.fork(names))
        return [Session(child, self._driver) for child in children]

    def snapshot(self, name: str) -> Document:
        """Keep the present state under a name."""
        return self._run(self.core.snapshot(name))

    def restore(self, name: str) -> Document:
        """Return to the state of a snapshot."""
        return self._run(self.core.change("POST", "restore", {"snapshot": name}))

    def rewind(self, steps: int) -> Document:
        """Go back some steps. The session must have been created with `history` or `log`."""
        return self._run(self.core.change("POST", "rewind", {"steps": steps}))

    def migrate(self, model: str, how: str = "auto") -> Document:
        """Move the session to another version: `carry` the state, `replay` the log, or `auto`."""
        return self._run(self.core.change("POST", "migrate", {"model": model, "how": how}))

    def history(self) -> Document:
        """Return the kept states and the steps to which the session can be rewound."""
        found: Document = self._run(self.core.request("GET", "history"))
        return found

    def update(self, *, ttl_s: int | None = None, pinned: bool | None = None) -> Document:
        """Change the lifetime of the session."""
        members = {"ttl_s": ttl_s, "pinned": pinned}
        body = {name: value for name, value in members.items() if value is not None}
        found: Document = self._run(self.core.request("PATCH", "", body))
        return found

    def delete(self) -> None:
        """Delete the session and its state."""
        self._run(self.core.request("DELETE"))

    def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation after those of other threads."""
        with self._lock:
            return self._driver.run(operation)
