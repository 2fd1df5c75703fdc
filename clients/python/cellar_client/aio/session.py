"""One session, with asyncio."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cellar_client.aio.driver import AsyncDriver
from cellar_client.aio.stream import AsyncStream
from cellar_client.arrays.inputs import Floats, Inputs
from cellar_client.core.effects import Operation, Result
from cellar_client.core.session import Reset, SessionCore
from cellar_client.core.stream import StreamCore
from cellar_client.values import Answer, Document


class AsyncSession:
    """A session of one client. `Client.session` returns one.

    Every request carries the position of the last answer, and is sent again until it is answered; it is applied once.
    Several clients that step one session use streams, each with a `writer` of its own.
    """

    def __init__(self, core: SessionCore, driver: AsyncDriver) -> None:
        self.core = core
        self._driver = driver
        self._lock = asyncio.Lock()
        """Two requests at one position would be taken for one that is repeated."""

    def __repr__(self) -> str:
        return f"<AsyncSession {self.name} at {self.position}>"

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

    async def step(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply one step, (F) or (B, F), and return its answer. `reset` puts rows into the initial state before it."""
        return await self._run(self.core.step(inputs, reset))

    async def sequence(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply several steps, (T, F) or (T, B, F), all or none. A table with a row for each step gives a table."""
        return await self._run(self.core.sequence(inputs, reset))

    def stream(
        self, writer: str | None = None, state: str | os.PathLike[str] | None = None, *, remember: int = 1024
    ) -> AsyncStream:
        """Return a stream of steps over a WebSocket, to be used in an `async with` block.

        `state` is a file with which the stream continues after a crash of this process. Without a file, a `writer`
        (a name that no other client of the session has) continues behind its last request. With neither, the stream
        is a new writer. `remember` is how many answered steps can be sent again if Redis loses them.
        """
        core = StreamCore(self.name, self.core.info["batch_size"], writer, state, self.core.give_up_s, remember)
        return AsyncStream(core, self._driver.for_stream())

    async def refresh(self) -> Document:
        """Read the session, and continue from its present position, also if another client has changed it."""
        return await self._run(self.core.refresh())

    async def state(self) -> dict[str, Floats]:
        """Return the whole hidden state: an array (B, size) for each state, named as `layers.0.h`."""
        return await self._run(self.core.read_state())

    async def write_state(self, states: Mapping[str, Any]) -> Document:
        """Replace the whole hidden state by arrays named as those of `state`."""
        return await self._run(self.core.write_state(states))

    async def reset(self, rows: Sequence[int] | None = None) -> Document:
        """Put the session, or some rows of it, into the initial state."""
        return await self._run(self.core.change("POST", "reset", {} if rows is None else {"rows": list(rows)}))

    async def fork(self, names: Sequence[str]) -> list["AsyncSession"]:
        """Create sessions with these names that begin with the present state. Raise Problem if one is refused."""
        children = await self._run(self.core.fork(names))
        return [AsyncSession(child, self._driver) for child in children]

    async def snapshot(self, name: str) -> Document:
        """Keep the present state under a name."""
        return await self._run(self.core.snapshot(name))

    async def restore(self, name: str) -> Document:
        """Return to the state of a snapshot."""
        return await self._run(self.core.change("POST", "restore", {"snapshot": name}))

    async def rewind(self, steps: int) -> Document:
        """Go back some steps. The session must have been created with `history` or `log`."""
        return await self._run(self.core.change("POST", "rewind", {"steps": steps}))

    async def migrate(self, model: str, how: str = "auto") -> Document:
        """Move the session to another version: `carry` the state, `replay` the log, or `auto`."""
        return await self._run(self.core.change("POST", "migrate", {"model": model, "how": how}))

    async def history(self) -> Document:
        """Return the kept states and the steps to which the session can be rewound."""
        found: Document = await self._run(self.core.request("GET", "history"))
        return found

    async def update(self, *, ttl_s: int | None = None, pinned: bool | None = None) -> Document:
        """Change the lifetime of the session."""
        members = {"ttl_s": ttl_s, "pinned": pinned}
        body = {name: value for name, value in members.items() if value is not None}
        found: Document = await self._run(self.core.request("PATCH", "", body))
        return found

    async def delete(self) -> None:
        """Delete the session and its state."""
        await self._run(self.core.request("DELETE"))

    async def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation after those of other tasks."""
        async with self._lock:
            return await self._driver.run(operation)
