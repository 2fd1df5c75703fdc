"""One WebSocket from its opening to its end: messages become steps as they come, and answers are written.

All of that happens in callbacks, within the turn of the event loop that brought the bytes, or the answers of a tick.
What has to wait for something (the greeting, resuming, a long message) is a task; nothing is taken meanwhile.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any

from cellar.api.dependencies import Services
from cellar.api.http.body import PROMPT_BYTES, read_beside
from cellar.api.websocket.close_codes import BROKEN, STOPPING, Closing, closing_of, ends
from cellar.api.websocket.connection.interface import BINARY, Connection
from cellar.api.websocket.deferred_writes import DeferredWrites
from cellar.api.websocket.in_flight import StepsInFlight
from cellar.api.websocket.replies import Replies, text
from cellar.api.websocket.requests import Resume, read_frame, read_text
from cellar.api.websocket.session_names import SessionNames
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import CellarError
from cellar.ports import Caller, Position
from cellar.sessions.values.position import parse_position

logger = logging.getLogger(__name__)


class Socket:
    """A stream of steps of one session, or of many if `session` is None."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        session: str | None,
        connection: Connection,
        turns: DeferredWrites,
        *,
        window: int,
        max_bytes: int,
    ) -> None:
        self._services = services
        self._session = session
        self._names = SessionNames(caller, session)
        self._connection = connection
        self._turns = turns
        self._window = window
        self._steps_in_flight = StepsInFlight(services.sessions.steps, self._wake, window=window, max_bytes=max_bytes)
        self._replies = Replies(name_sessions=session is None)
        self._waiting: list[Submission | Several] = []
        """Read, and not begun: there is no room for them."""
        self._way: asyncio.Task[None] | None = None
        self._stalled = False
        """Whether the connection waits to be told that another message may come."""
        self._is_due = False
        self._lost = False
        self._broken = False
        """Whether not all that is in flight will be answered."""
        self._acknowledged: dict[str, Position] = {}
        self._ended: asyncio.Future[Closing | None] = asyncio.get_running_loop().create_future()

    @property
    def in_flight(self) -> int:
        """How many steps are not answered yet."""
        return self._steps_in_flight.count

    def end(self, closing: Closing | None) -> None:
        """Read no more; close like this once what is in flight is answered. None: nobody is there any more."""
        if not self._ended.done():
            self._ended.set_result(closing)

    async def run(self) -> None:
        """Serve until one side ends it. The handshake is over."""
        self._connection.open(self)
        self._go(self._greet())
        try:
            closing = await self._ended
            if self._way is not None:
                self._way.cancel()
            if closing is not None:
                await self._finish(closing)
        finally:
            self._connection.end()
            if self._way is not None:
                self._way.cancel()

    async def _finish(self, closing: Closing) -> None:
        """Answer what is in flight, say where the sessions are if we are the ones who go, and close."""
        while self._steps_in_flight.count and not (self._lost or self._broken):
            await self._steps_in_flight.landed()
        if self._lost:
            return
        if closing is STOPPING:
            where = {session: str(position) for session, position in self._acknowledged.items()}
            self._connection.write([text({"stopping": where})])
        await self._connection.close(closing)

    def _go(self, way: Coroutine[Any, Any, None]) -> None:
        """Begin what has to wait for something, and take no message until it is done."""

        async def guarded() -> None:
            try:
                await way
            except Exception as error:
                self._fail(error)
            self._way = None
            self._proceed()

        self._way, self._stalled = asyncio.create_task(guarded(), name="stream"), True

    def _fail(self, error: Exception) -> None:
        """Let the socket end as the error says."""
        if isinstance(error, CellarError):
            self.end(closing_of(error))
        else:
            logger.error("a stream has failed", exc_info=error)
            self._broken = True
            self.end(BROKEN)
            self._steps_in_flight.wake()

    # --- in -----------------------------------------------------------------------------------------------------------

    def take(self, payload: bytes, kind: int) -> bool:
        """Take a message. Return whether another may come, else it may once `Connection.resume` is called."""
        if self._is_due:  # an answer that what follows does not know of may end it
            self._land()
        if not self._ended.done():
            try:
                self._understand(payload, kind)
            except Exception as error:
                self._fail(error)
        self._stalled = self._way is not None or bool(self._waiting) or self._connection.full or self._ended.done()
        return not self._stalled

    def together(self) -> AbstractContextManager[None]:
        """Take, in here, messages that came at once: of their steps none goes before the others."""
        return self._services.sessions.steps.together()

    def eased(self) -> None:
        """Hear that answers are taken again."""
        self._proceed()

    def lost(self) -> None:
        """Hear that nobody is there any more."""
        self._lost = True
        self.end(None)
        self._steps_in_flight.wake()

    def _proceed(self) -> None:
        """Go on with what has waited for room, then with what comes."""
        if not self._stalled or self._way is not None or self._connection.full or self._ended.done():
            return None
        waiting, self._waiting = self._waiting, []
        try:
            self._begin(waiting)
        except Exception as error:
            return self._fail(error)
        if not self._waiting:
            self._stalled = False
            self._connection.resume()
        return None

    def _understand(self, payload: bytes, kind: int) -> None:
        if len(payload) > PROMPT_BYTES:
            self._go(self._understand_long(payload, kind))
        elif kind == BINARY:
            self._begin(read_frame(payload, self._names))
        else:
            said = read_text(payload, self._names)
            if isinstance(said, Resume):
                self._go(self._resume(said))
            else:
                self._begin_one(said)

    async def _understand_long(self, payload: bytes, kind: int) -> None:
        if kind == BINARY:
            return self._begin(await read_beside(len(payload), read_frame, payload, self._names))
        said = await read_beside(len(payload), read_text, payload, self._names)
        return await self._resume(said) if isinstance(said, Resume) else self._begin((said,))

    def _begin(self, asks: Sequence[Submission | Several]) -> None:
        """Begin steps as long as there is room, and keep the others."""
        if len(asks) == 1:
            return self._begin_one(asks[0])
        with self.together():
            for ask in asks:
                self._begin_one(ask)
        return None

    def _begin_one(self, ask: Submission | Several) -> None:
        left = ask if self._waiting else self._steps_in_flight.begin(ask)
        if left is not None:
            self._waiting.append(left)

    async def _greet(self) -> None:
        """Say where the session is, and what is promised. Raise what keeps it from being served."""
        store = await self._services.ready()
        self._replies.durability = store["durability"]
        greeting: dict[str, Any] = {"window": self._window, "durability": store["durability"]}
        if self._names.own is not None:
            session = await self._services.sessions.get(self._names.own)
            self._acknowledged[session.session] = session.position
            about = {"session": session.session, "model": session.model, "batch_size": session.batch_size}
            greeting = self._replies.moved(session.position, **about, **greeting)
        self._connection.write([text(greeting)])

    async def _resume(self, asked: Resume) -> None:
        """Tell what was committed after a position, once all steps that came before are answered."""
        try:
            key = self._names.key(asked.session)
            session = key.session
            await self._steps_in_flight.idle(session)
            position = parse_position(asked.position, pointer="/resume")
            since = await self._services.sessions.since(key, position, asked.writer)
        except CellarError as error:
            self._connection.write([text(self._replies.refused(asked, error))])
            if self._session is not None and ends(error):
                self.end(closing_of(error))
            return
        self._steps_in_flight.forgive(session)
        self._acknowledged[session] = since.position
        self._connection.write([text(document) for document in self._replies.resumed(session, asked, since)])

    # --- out ----------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Hear that steps are answered; more of them may be by the end of this turn."""
        if not self._is_due:
            self._is_due = True
            self._turns.ask(self._write)

    def _write(self) -> None:
        if self._is_due:
            self._land()
        if self._stalled:
            self._proceed()

    def _land(self) -> None:
        """Answer the steps that are answered. A conflict ends the stream before another step is read."""
        self._is_due = False
        try:
            asks = self._steps_in_flight.land()
            self._connection.write(self._replies.messages(asks))
            for ask in asks:
                if ask.result is not None:
                    self._acknowledged[ask.session] = ask.result.position
                if ask.error is not None and self._session is not None and ends(ask.error):
                    self.end(closing_of(ask.error))
        except Exception as error:
            self._fail(error)
