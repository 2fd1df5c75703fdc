"""An HTTP connection with limits on its use of the event loop, its memory and its time.

Received bytes are parsed in small pieces: not while a request waits for the one before it, and only for a short time in
one turn of the event loop. Heads are limited in bytes, and heads and bodies must arrive at a minimum rate.
"""

from asyncio import TimerHandle, Transport
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cellar.api.errors.problems import Problem
from cellar.api.fast_http.flow_control import HoldingFlow
from cellar.api.fast_http.late_start import LateStartProtocol
from cellar.api.http.body import STREAMS
from cellar.api.http.conventions import path_of
from cellar.api.limits.limits import BODY_BYTES_A_S, MOST_HEADERS, MOST_TRAILER_BYTES, Load
from cellar.api.limits.unread_answers import UnreadAnswers
from cellar.api.outcomes.outcome import Outcome, Outcomes
from cellar.api.outcomes.request_id import HEADER as ID_HEADER
from cellar.api.outcomes.request_id import NAME as REQUEST_ID
from cellar.api.outcomes.request_id import accepted, new_request_id
from cellar.errors import HeadTooLarge, MalformedRequest, Overloaded, RequestTimeout

PIECE_BYTES = 1024
"""Bytes outside of bodies that are parsed at a time: three usual heads, or forty of the shortest."""

CHUNKED_PIECE_BYTES, BODY_PIECE_BYTES = 4 * 1024, 64 * 1024
"""Bytes of a body that are parsed at a time: of a chunked one, and of one with a Content-Length."""

PROBE_S = 1.0
"""Interval at which the service checks whether a client that sends nothing more is still connected."""

MOST_SPREAD_S = 0.5
"""Requests that arrive too slowly are refused within this time, one after the other: a thousand clients may have begun
at the same moment, and all others would wait for their refusals."""

LINGER_PAUSE_S = 0.01
"""Pause between two reads of a connection whose request was refused. The bytes that are read are dropped."""

MOST_LINGERING = 256
"""Connections over the limit that get an answer with the reason. Any more are closed without one."""


class BoundedProtocol(LateStartProtocol):
    """One connection."""

    flow: HoldingFlow

    def __init__(self, config: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self.outcomes: Outcomes = config.app.state.outcomes
        self._load: Load = config.app.state.load
        self._limits = self._load.limits
        self._most_bytes: int = config.app.state.max_body_bytes
        self._head_bytes = self._trailer_bytes = 0
        """Size of the head, and of the trailers, of the request that the parser reads."""
        self.body_bytes = 0
        """Bytes of its body that were received."""
        self.share = self._load.memory.reservation()
        """The memory that a body takes which no application reads."""
        self._held = b""
        """Received bytes, of which those from `_at` on are not parsed yet."""
        self._at = 0
        self._queued = False
        """Whether the connection waits in the round-robin queue."""
        self._progress_timer: TimerHandle | None = None
        self._since_s = 0.0
        """When the head began, or the present window began in which a part of the body must arrive."""
        self._window_bytes = 0
        """Bytes of the body that had been received then."""

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # narrower than asyncio's
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        self.flow = HoldingFlow(transport, self._queue)
        self._untaken = UnreadAnswers(self.loop, transport, self._load.memory)
        most = self._limits.max_connections
        over = len(self.connections) - most
        if over > MOST_LINGERING:
            transport.abort()
        elif over > 0:
            detail = f"the service has {most} connections, which is its limit (CELLAR_MAX_CONNECTIONS)"
            self.refuse(Overloaded(detail, limit=most, setting="CELLAR_MAX_CONNECTIONS"))
        else:
            self.idle_since_s = self.loop.time()
            self._look_after(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the held bytes and the timers."""
        self._drop()
        self.share.release()
        self._untaken.end()
        super().connection_lost(exc)
        self._end_timers()

    def _end_timers(self) -> None:
        for timer in (self._progress_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._progress_timer = self.timeout_keep_alive_task = None

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the WebSocket protocol, unless there are too many streams."""
        most = self._limits.max_streams
        if self._load.streams >= most:
            detail = f"the service has {most} WebSockets open, which is its limit (CELLAR_MAX_STREAMS)"
            return self.refuse(Overloaded(detail, limit=most, setting="CELLAR_MAX_STREAMS"))
        self._end_timers()  # they would keep this object in memory beside the protocol that reads from here on
        return super().handle_websocket_upgrade()

    def eof_received(self) -> bool:  # type: ignore[override]  # as StrictProtocol's
        """Answer the complete requests, and meanwhile check whether the client is still connected."""
        goes_on = super().eof_received()
        if goes_on:
            self.loop.call_later(PROBE_S, self._probe)
        return goes_on

    def _probe(self) -> None:
        """Write an interim answer, which a waiting client ignores, and which reveals a closed connection.

        A client that has closed its connection cannot be distinguished from one that has only finished sending, until
        two writes: its system answers the first with a reset, and the second fails.
        """
        cycle: Any = self.cycle
        answered = cycle.response_complete or getattr(cycle, "response_started", False) or cycle.disconnected
        if self.transport.is_closing() or answered or self.pipeline or self.parser.get_http_version() == "1.0":
            return
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.loop.call_later(PROBE_S, self._probe)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, now or when it is this connection's turn."""
        if self.ends:
            super().data_received(data)
            self.flow.hold()
            self.loop.call_later(LINGER_PAUSE_S, self._read_on)
        elif self.holds_more():
            self._held, self._at = self._held[self._at :] + data, 0
        elif len(data) <= PIECE_BYTES:
            self._feed(data)
            self._watch_progress()
        else:
            self._held, self._at = data, 0
            self._take(self._load.round_robin.until_s())

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_socket()

    def holds_more(self) -> bool:
        """Return whether there are received bytes that are not parsed yet."""
        return self._at < len(self._held)

    def _take(self, until_s: float) -> None:
        """Parse held bytes until this time, and as long as no request waits to be answered or to be read."""
        self._queued = False
        while self.holds_more():
            if self.transport.is_closing():
                return self._drop()
            if self.ends:  # the bytes that follow are only noted
                self._feed(self._held[self._at :])
                self._drop()
                break
            if self.flow.read_paused:  # the part that has paused it resumes it
                return self.flow.hold()
            if monotonic() >= until_s:
                self.flow.hold()
                return self._queue()
            start, self._at = self._at, self._at + self._piece_bytes()
            self._feed(self._held[start : self._at])
        self._drop()
        self._watch_progress()
        return self.flow.resume_socket()

    def _piece_bytes(self) -> int:
        """Return how many bytes may be parsed at a time: many requests may follow the end of a body."""
        if not (self.reading and self.head_read):
            return PIECE_BYTES
        length = next((value for name, value in self.headers if name == b"content-length"), None)
        if length is None:
            return CHUNKED_PIECE_BYTES
        return max(PIECE_BYTES, min(BODY_PIECE_BYTES, int(length) - self.body_bytes))

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self._load.round_robin.add(self._take)

    def _drop(self) -> None:
        self._held, self._at = b"", 0

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        if self.reading and not self.head_read:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_head_bytes:
                self.refuse(self._too_large(f"more than {self._limits.max_head_bytes} bytes"))

    # --- the parser's callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_bytes = self._trailer_bytes = self.body_bytes = 0
        self._since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Raise HeadTooLarge for one too many, and for too many trailers, which are dropped."""
        if len(self.headers) >= MOST_HEADERS and not self.head_read:
            raise self._too_large(f"more than {MOST_HEADERS} headers")
        if self.head_read:
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > MOST_TRAILER_BYTES:
                raise HeadTooLarge(f"trailers may have {MOST_TRAILER_BYTES} bytes, these have more")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, and to count its body."""
        self._since_s, self._window_bytes = self.loop.time(), 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.body_bytes += len(body)
        super().on_body(body)

    def _too_large(self, actual: str) -> HeadTooLarge:
        most = self._limits.max_head_bytes
        return HeadTooLarge(
            f"a request's head may have {most} bytes (CELLAR_MAX_HEAD_BYTES) and {MOST_HEADERS} headers,"
            f" this has {actual}"
        )

    def _write_last(self, answer: Problem) -> None:
        """Write the answer to a request that is refused while it is read, with an id, and report it."""
        request_id = (
            accepted(dict(self.headers or ()).get(REQUEST_ID)) or new_request_id()
        )  # None before the first head
        answer.headers[ID_HEADER] = request_id
        method = str(self.scope.get("method", "")) if self.head_read else ""
        outcome = Outcome("http", method, "", answer.status_code, answer.slug, "", "", 0.0, request_id)
        self.outcomes.note(outcome)
        super()._write_last(answer)

    # --- answers ------------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Stop writing, and check from now on that the client reads what was written."""
        super().pause_writing()
        cycle: Any = self.cycle
        in_parts = _is_read_in_parts(getattr(cycle, "scope", {}))
        self._untaken.begin(*self._pace(in_parts=in_parts or self._is_endless()))

    def resume_writing(self) -> None:
        """Write again."""
        self._untaken.end()
        super().resume_writing()

    def _start_pipelined(self) -> None:
        """Start the next pipelined request when it is this connection's turn."""
        if self.pipeline and not self.transport.is_closing():
            self.server_state.total_requests += 1
            self._load.round_robin.add(self._start_next)
        else:
            super()._start_pipelined()

    def _start_next(self, _until_s: float) -> None:
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not self.pipeline:
                self.flow.resume_reading()
        elif self._final_action is not None:  # the request was refused, or the client left, before its turn
            self._final_action()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _watch_progress(self) -> None:
        """Check later whether the rest of the request has been received."""
        if self.reading and self._progress_timer is None:
            self._progress_timer = self.loop.call_later(self._patience()[0], self._look_at_progress)

    def _look_at_progress(self) -> None:
        """Refuse a request that arrives too slowly, else check again later. Time without reading does not count."""
        self._progress_timer = None
        if not self.reading or self.transport.is_closing():
            return
        now_s = self.loop.time()
        if self.flow.read_paused or self.flow.holding:
            self._since_s, self._window_bytes = now_s, self.body_bytes
        patience_s, least_bytes = self._patience()
        if now_s - self._since_s >= patience_s:
            if self.body_bytes - self._window_bytes < least_bytes:
                late_s = self._load.spread() * MOST_SPREAD_S
                self._progress_timer = self.loop.call_later(late_s, self._give_up, self._since_s, patience_s)
                return
            self._since_s, self._window_bytes = now_s, self.body_bytes
        left_s = max(0.001, self._since_s + patience_s - now_s)
        self._progress_timer = self.loop.call_later(left_s, self._look_at_progress)

    def _give_up(self, since_s: float, patience_s: float) -> None:
        """Refuse the request, unless it was completed meanwhile and another one has begun."""
        self._progress_timer = None
        if not self.reading or self.transport.is_closing() or self._since_s != since_s:
            return self._watch_progress()
        if self.head_read and self.has_cycle and self.cycle.response_complete:
            return self.transport.close()
        what, setting = "head", "CELLAR_HEAD_TIMEOUT_S"
        if self.head_read:
            in_parts = _is_read_in_parts(self.scope)
            what, setting = "next part of the body", f"CELLAR_{'STREAM_IDLE' if in_parts else 'BODY_TIMEOUT'}_S"
        detail = f"the {what} of the request did not come within {patience_s:g} s ({setting})"
        return self.refuse(RequestTimeout(detail))

    def _patience(self) -> tuple[float, float]:
        """Return the time to wait for the head or a part of the body, seconds, and the bytes that must arrive in it."""
        if not self.head_read:
            return self._limits.head_timeout_s, 1
        return self._pace(in_parts=_is_read_in_parts(self.scope))

    def may_start_late(self, cycle: RequestResponseCycle) -> bool:
        """Return whether the application answers nothing before it has the body."""
        headers = dict(cycle.scope["headers"])
        fits = int(headers.get(b"content-length", b"0")) <= self._most_bytes
        return fits and b"content-encoding" not in headers and not _is_read_in_parts(cycle.scope)

    def _pace(self, *, in_parts: bool) -> tuple[float, float]:
        """Return the window, seconds, and the bytes of a body that must arrive, or of an answer be read, in it."""
        if in_parts:
            return self._limits.stream_idle_s, 1
        return self._limits.body_timeout_s, self._limits.body_timeout_s * BODY_BYTES_A_S


def _is_read_in_parts(scope: Any) -> bool:
    """Return whether the route of a request reads its body and writes its answer part by part."""
    try:
        return "path" in scope and STREAMS.fullmatch(path_of(scope)) is not None
    except MalformedRequest:
        return False
