"""One WebSocket from its handshake to its end: its messages are decoded and submitted, and the answers are written.

This happens in callbacks, in the turn of the event loop that received the bytes, or the answers of a commit. Work that
must wait (the greeting, resuming, a long message) is a task, during which no other message is taken.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from anyio.to_thread import run_sync

from cellar.api.dependencies import Services
from cellar.api.errors.problems import status_of
from cellar.api.http.body import PROMPT_BYTES, decode_in_thread
from cellar.api.outcomes.outcome import Outcome, Outcomes
from cellar.api.websocket.close_codes import BROKEN, STOPPING, Closing, closing_of, ends
from cellar.api.websocket.connection.interface import BINARY, Connection, Message
from cellar.api.websocket.in_flight import StepsInFlight
from cellar.api.websocket.replies import LongAnswer, Replies, text
from cellar.api.websocket.requests import Resume, SessionNames, read_frame, read_text, refused
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import BodyTooLarge, CellarError, Overloaded
from cellar.memory.request_memory import DECODED_TIMES, FRAME_TIMES
from cellar.metrics.counts import COUNTS
from cellar.ports import Caller, Position
from cellar.sessions.values.position import parse_position

logger = logging.getLogger(__name__)

STREAM, STREAM_OF_SESSION = "/v1/stream", "/v1/sessions/{session}/stream"
"""The paths of streams, with placeholders."""


class DeferredWrites:
    """Calls functions in the next turn of the event loop, with one callback of the loop for all of them."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def add(self, call: Callable[[], None]) -> None:
        """Call a function in the next turn, once for each time that it was added."""
        if not self._calls:
            asyncio.get_running_loop().call_soon(self._call)
        self._calls.append(call)

    def _call(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:  # of one socket; the writes of the others must not be lost
                logger.exception("a stream's answers were not written")


class Socket:
    """A stream of steps of one session, or of many if `session` is None."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        session: str | None,
        connection: Connection,
        deferred: DeferredWrites,
        *,
        window: int,
        max_bytes: int,
        outcomes: Outcomes,
    ) -> None:
        self._services = services
        self._caller = caller
        self._outcomes = outcomes
        self._session = session
        self._names = SessionNames(caller, session)
        self._connection = connection
        self._deferred = deferred
        self._window = window
        self.in_flight = StepsInFlight(services.sessions.steps, self._wake, window=window, max_bytes=max_bytes)
        self._replies = Replies(name_sessions=session is None)
        self._waiting: list[Submission | Several] = []
        """Decoded steps for which there is no room yet."""
        self._held = services.sessions.memory.reservation()
        """The memory of a long message."""
        self._task: asyncio.Task[None] | None = None
        self._encoding: asyncio.Task[None] | None = None
        """Encodes long answers. Meanwhile nothing else is written, and no message is taken."""
        self._stalled = False
        """Whether the connection waits for `resume` before it passes the next message."""
        self._is_due = False
        self._lost = False
        self._broken = False
        """Whether some steps in flight will never be answered."""
        self._acknowledged: dict[str, Position] = {}
        self._ended: asyncio.Future[Closing | None] = asyncio.get_running_loop().create_future()

    def end(self, closing: Closing | None) -> None:
        """Stop reading, and close with this frame after the steps in flight. None: the connection was lost."""
        if not self._ended.done():
            self._ended.set_result(closing)

    async def run(self) -> None:
        """Serve until one side ends it. The handshake is over."""
        self._connection.open(self)
        self._start_task(self._greet())
        try:
            closing = await self._ended
            if self._task is not None:
                self._task.cancel()
            if closing is not None:
                await self._finish(closing)
        finally:
            self._connection.end()
            if self._task is not None:
                self._task.cancel()

    async def _finish(self, closing: Closing) -> None:
        """Wait for the steps in flight, write the positions of the sessions if the service stops, and close."""
        while (self.in_flight.count or self._encoding is not None) and not (self._lost or self._broken):
            await self.in_flight.wait_for_answers()
        if self._lost:
            return
        if closing is STOPPING:
            where = {session: str(position) for session, position in self._acknowledged.items()}
            self._connection.write([text({"stopping": where})])
        await self._connection.close(closing)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Start work that must wait, and take no message until it is done."""

        async def guarded() -> None:
            """Run the work, end the socket if it fails, and then continue reading."""
            try:
                await work
            except Exception as error:
                self._fail(error)
            self._task = None
            self._proceed()

        self._task, self._stalled = asyncio.create_task(guarded(), name="stream"), True

    def _fail(self, error: Exception) -> None:
        """End the socket with the close frame of an error."""
        if isinstance(error, CellarError):
            self.end(closing_of(error))
        else:
            logger.error("a stream has failed", exc_info=error)
            self._broken = True
            self.end(BROKEN)
            self.in_flight.wake()

    # --- in -----------------------------------------------------------------------------------------------------------

    def take(self, payload: bytes, kind: int) -> bool:
        """Take a message. Return whether the next one may follow; if not, it follows after `Connection.resume`."""
        if self._is_due:  # an answer that is due may end the stream
            self._write_answers()
        if not self._ended.done():
            try:
                self._read_message(payload, kind)
            except Exception as error:
                self._fail(error)
        self._stalled = self._is_busy() or bool(self._waiting) or self._connection.full or self._ended.done()
        return not self._stalled

    def _is_busy(self) -> bool:
        """Return whether something is done that the next message must wait for."""
        return self._task is not None or self._encoding is not None

    def together(self) -> AbstractContextManager[None]:
        """Return a context in which the steps of messages that were received together are submitted together."""
        return self._services.sessions.steps.together()

    def eased(self) -> None:
        """The client reads answers again."""
        self._proceed()

    def lost(self) -> None:
        """The connection was lost, or the client has closed it."""
        self._lost = True
        self.end(None)
        self.in_flight.wake()

    def _proceed(self) -> None:
        """Submit the steps that have waited for room, then let the connection pass messages."""
        if not self._stalled or self._is_busy() or self._connection.full or self._ended.done():
            return None
        waiting, self._waiting = self._waiting, []
        try:
            self._begin(waiting)
        except Exception as error:
            return self._fail(error)
        if not self._waiting:
            self._held.release()
            self._stalled = False
            self._connection.resume()
        return None

    def _read_message(self, payload: bytes, kind: int) -> None:
        if len(payload) > PROMPT_BYTES:
            self._start_task(self._read_long_message(payload, kind))
        elif kind == BINARY:
            self._begin(read_frame(payload, self._names))
        else:
            message = read_text(payload, self._names)
            if isinstance(message, Resume):
                self._start_task(self._resume(message))
            else:
                self._begin_one(message)

    async def _read_long_message(self, payload: bytes, kind: int) -> None:
        """Decode a message when there is memory for it. Its steps that wait for room keep a part of the memory."""
        held, size = self._held, len(payload)
        held.hold(size)
        try:
            if kind == BINARY:
                await held.grow(FRAME_TIMES * size)
                return self._begin(await decode_in_thread(size, read_frame, payload, self._names))
            try:
                await held.grow(DECODED_TIMES * size)
            except (BodyTooLarge, Overloaded) as error:
                return self._begin((await decode_in_thread(size, refused, payload, self._names, error),))
            message = await decode_in_thread(size, read_text, payload, self._names)
            return await self._resume(message) if isinstance(message, Resume) else self._begin((message,))
        finally:
            held.hold(FRAME_TIMES * size if self._waiting else 0)

    def _begin(self, submissions: Sequence[Submission | Several]) -> None:
        """Submit steps as long as there is room, and keep the others."""
        if len(submissions) == 1:
            return self._begin_one(submissions[0])
        with self.together():
            for submission in submissions:
                self._begin_one(submission)
        return None

    def _begin_one(self, submission: Submission | Several) -> None:
        left = submission if self._waiting else self.in_flight.begin(submission)
        if left is not None:
            self._waiting.append(left)

    async def _greet(self) -> None:
        """Write the position of the session and the durability. Raise CellarError if it cannot be served."""
        store = await self._services.ready()
        self._replies.durability = store["durability"]
        greeting: dict[str, Any] = {"window": self._window, "durability": store["durability"]}
        if self._names.own is not None:
            session = await self._services.sessions.get(self._names.own)
            self._acknowledged[session.key.session] = session.position
            about = {"session": session.key.session, "model": session.meta.model, "batch_size": session.meta.batch_size}
            greeting = self._replies.moved(session.position, **about, **greeting)
        self._connection.write([text(greeting)])

    async def _resume(self, asked: Resume) -> None:
        """Write all that was committed after a position, once all earlier steps are answered."""
        try:
            key = self._names.key(asked.session)
            session = key.session
            await self.in_flight.idle(session)
            while self._encoding is not None and not self._lost:
                await self.in_flight.wait_for_answers()
            position = parse_position(asked.position, pointer="/resume")
            since = await self._services.sessions.since(key, position, asked.writer)
        except CellarError as error:
            COUNTS.refuse(error.slug)
            self._connection.write([text(self._replies.refused(asked, error))])
            if self._session is not None and ends(error):
                self.end(closing_of(error))
            return
        self.in_flight.forget_failures(session)
        self._acknowledged[session] = since.position
        self._connection.write([text(document) for document in self._replies.resumed(session, asked, since)])

    # --- out ----------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Steps are answered. Write at the end of this turn, because more may be answered in it."""
        if not self._is_due:
            self._is_due = True
            self._deferred.add(self._write)

    def _write(self) -> None:
        if self._is_due:
            self._write_answers()
        if self._stalled:
            self._proceed()

    def _write_answers(self) -> None:
        """Write the answers. A conflict ends the stream before another message is read."""
        self._is_due = False
        if self._encoding is not None:
            return
        try:
            submissions = self.in_flight.take_answered()
            self._write_taken(self._replies.messages(submissions), submissions)
        except LongAnswer:
            self._encoding = asyncio.create_task(self._encode(submissions), name="long answers of a stream")
        except Exception as error:
            self._fail(error)

    async def _encode(self, submissions: list[Submission | Several]) -> None:
        """Encode long answers on a thread, which would delay all other requests; then write what was answered since."""
        try:
            messages = await run_sync(self._replies.long_messages, submissions)
            self._write_taken(messages, submissions)
        except Exception as error:
            self._fail(error)
        self._encoding = None
        self.in_flight.wake()
        self._wake()

    def _write_taken(self, messages: list[Message], submissions: list[Submission | Several]) -> None:
        """Write answers that were taken, and end the stream after a conflict."""
        self._connection.write(messages)
        for submission in submissions:
            submission.count_outcome()
            if submission.result is not None:
                self._acknowledged[submission.session] = submission.result.position
            if submission.error is not None:
                self._report(submission, submission.error)
                if self._session is not None and ends(submission.error):
                    self.end(closing_of(submission.error))

    def _report(self, submission: Submission | Several, error: CellarError) -> None:
        """Report a step that has failed."""
        began_s: float | None = getattr(submission.pending, "began_s", None)
        self._outcomes.note(
            Outcome(
                "websocket",
                "",
                STREAM_OF_SESSION if self._session is not None else STREAM,
                status_of(type(error)),
                error.slug,
                self._caller.tenant,
                submission.session,
                0.0 if began_s is None else monotonic() - began_s,
                "",
            )
        )
