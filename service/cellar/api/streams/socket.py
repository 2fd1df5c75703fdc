"""One WebSocket from its opening to its end: one task reads steps, one writes answers, and whoever ends it says how."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive, Send

from cellar.api.body import beside
from cellar.api.services import TENANT, Services
from cellar.api.streams.asks import Ask, Resume, read_frame, read_text
from cellar.api.streams.closing import BROKEN, STOPPING, Closing, closing_of, ends
from cellar.api.streams.flight import Flight
from cellar.api.streams.replies import Replies, text
from cellar.errors import CellarError, InvalidInput
from cellar.ports import Position, SessionKey
from cellar.runtime.positions import parse_position

logger = logging.getLogger(__name__)


class Socket:
    """A stream of steps of one session, or of many if `session` is None."""

    def __init__(
        self, services: Services, session: str | None, receive: Receive, send: Send, *, window: int, max_bytes: int
    ) -> None:
        self._services = services
        self._session = session
        self._receive = receive
        self._send = send
        self._window = window
        self._flight = Flight(services.sessions, self._land, window=window, max_bytes=max_bytes)
        self._replies = Replies(name_sessions=session is None)
        self._landed: list[Ask] = []
        self._wake = asyncio.Event()
        self._acknowledged: dict[str, Position] = {}
        self._ended: asyncio.Future[Closing | None] = asyncio.get_running_loop().create_future()

    @property
    def in_flight(self) -> int:
        """How many steps are not answered yet."""
        return self._flight.count

    def end(self, closing: Closing | None) -> None:
        """Read no more; close like this once what is in flight is answered. None: nobody is there any more."""
        if not self._ended.done():
            self._ended.set_result(closing)

    async def run(self) -> None:
        """Serve until one side ends it. The handshake is over."""
        tasks = [asyncio.create_task(self._guard(work), name="stream") for work in (self._read(), self._write())]
        reading, writing = tasks
        try:
            closing = await self._ended
            reading.cancel()
            if closing is not None:
                await self._finish(closing, writing)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the socket end as the work does."""
        try:
            await work
        except CellarError as error:
            self.end(closing_of(error))
        except OSError:  # what servers raise when the client has gone
            self.end(None)
        except Exception:
            logger.exception("a stream has failed")
            self.end(BROKEN)

    async def _finish(self, closing: Closing, writing: "asyncio.Task[None]") -> None:
        """Answer what is in flight, say where the sessions are if we are the ones who go, and close."""
        answered = asyncio.create_task(self._flight.idle(), name="stream end")
        await asyncio.wait((answered, writing), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        if writing.done():  # nobody takes answers any more
            return
        with suppress(OSError):
            if closing is STOPPING:
                where = {session: str(position) for session, position in self._acknowledged.items()}
                await self._send(text({"stopping": where}))
            await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    # --- in -----------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        await self._greet()
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return self.end(None)
            for said in await _understand(message):
                if isinstance(said, Resume):
                    await self._resume(said)
                    continue
                session = self._session_of(said)
                if self._flight.is_full(session):
                    await self._flight.room(session)
                if self._ended.done():  # by an answer that what follows does not know of
                    return None
                self._flight.begin(session, said)

    async def _greet(self) -> None:
        """Say where the session is, and what is promised. Raise what keeps it from being served."""
        store = await self._services.ready()
        self._replies.durability = store["durability"]
        greeting: dict[str, Any] = {"window": self._window, "durability": store["durability"]}
        if self._session is not None:
            session = await self._services.sessions.get(SessionKey(TENANT, self._session))
            self._acknowledged[self._session] = session.position
            about = {"session": session.session, "model": session.model, "batch_size": session.batch_size}
            greeting = self._replies.moved(session.position, **about, **greeting)
        await self._send(text(greeting))

    def _session_of(self, said: Ask) -> str:
        """Return whose step it is, "" of nobody's. What is wrong with that is the step's own error."""
        try:
            return self._named(said.session)
        except InvalidInput as error:
            said.refuse(error)
            return self._session or ""

    def _named(self, session: str | None) -> str:
        if self._session is None:
            if session is None:
                raise InvalidInput("which session?", pointer="/session", expected="a session", actual="nothing")
            return session
        if session not in (None, self._session):
            raise InvalidInput("another session", pointer="/session", expected=self._session, actual=session)
        return self._session

    async def _resume(self, asked: Resume) -> None:
        """Tell what was committed after a position, once all steps that came before are answered."""
        try:
            session = self._named(asked.session)
            await self._flight.idle(session)
            position = parse_position(asked.position, pointer="/resume")
            since = await self._services.sessions.since(SessionKey(TENANT, session), position, asked.writer)
        except CellarError as error:
            await self._send(text(self._replies.refused(asked, error)))
            if self._session is not None and ends(error):
                self.end(closing_of(error))
            return
        self._flight.forgive(session)
        self._acknowledged[session] = since.position
        for document in self._replies.resumed(session, asked, since):
            await self._send(text(document))

    # --- out ----------------------------------------------------------------------------------------------------------

    def _land(self, asks: Sequence[Ask]) -> None:
        """Take answered steps to be sent. A conflict ends the stream before another step is read."""
        self._landed += asks
        self._wake.set()
        for ask in asks:
            if ask.answer is not None and ask.session is not None:
                self._acknowledged[ask.session] = ask.answer.position
            elif ask.error is not None and self._session is not None and ends(ask.error):
                self.end(closing_of(ask.error))

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            asks, self._landed = self._landed, []
            for message in self._replies.messages(asks):
                await self._send(message)
            self._flight.sent(asks)


async def _understand(message: Message) -> Sequence[Ask | Resume]:
    data = message.get("bytes")
    if data is not None:
        return await beside(len(data), read_frame, data)
    said: str = message["text"]
    return (await beside(len(said), read_text, said),)
