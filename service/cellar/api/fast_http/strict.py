"""An HTTP connection that refuses malformed and ambiguous requests, to prevent request smuggling.

uvicorn's protocol on httptools accepts faulty requests, and delimits some in another way than a proxy before it would.
This protocol has the same parser and the same answers; `StrictProtocol` lists the differences.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cellar.api.errors.problems import Problem, internal_error, problem_of
from cellar.api.fast_http.head_rules import check_head, split_target
from cellar.errors import CellarError, MalformedRequest

logger = logging.getLogger(__name__)

LINGER_S = 1.0
"""Time for which a refused connection stays open: a client that is still sending would not see the answer otherwise."""

ENDLESS = "endless"
"""In the state of a request: its answer has no end, so a client that half-closes the connection has left."""

BAD_TARGET = (UnicodeDecodeError, httptools.HttpParserInvalidURLError)
"""Errors that uvicorn raises for the target of a request."""


class _Over(Exception):
    """Stops the parser, because the connection ends with the request before."""


class StrictProtocol(HttpToolsProtocol):
    """One connection. It differs from uvicorn's in this:

    - A malformed request is refused with a problem document, after the answers to the requests before it.
    - A request whose Upgrade is not for a WebSocket is an ordinary request with a body (RFC 9110, 7.8).
    - A WebSocket begins after the answers to the requests before it (RFC 6455, 4.1), and its client sends no more
      before the handshake is answered.
    - Trailers are dropped: they are not headers (RFC 9110, 6.5.1).
    - A client that has half-closed the connection gets its answers (RFC 9112, 9.6).
    - HTTP/1.0 has no chunks: the end of the connection ends an answer without Content-Length.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.reading = False
        """Whether the parser is inside a request."""
        self.head_read = False
        """Whether the parser is past the head of the request."""
        self.has_cycle = False
        """Whether the request has a cycle; one that asks for another protocol has none."""
        self._final_action: Callable[[], None] | None = None
        """Called once all requests are answered; nothing more is read meanwhile."""
        self._early = False
        """Whether bytes were received after the handshake of a WebSocket that is not answered yet."""

    @property
    def ends(self) -> bool:
        """Whether nothing more is read on this connection."""
        return self._final_action is not None

    # --- what comes ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, unless the connection ends."""
        if self._final_action is None:
            self._unset_keepalive_if_required()
            self._parse(data)
        else:
            self._early = True

    def holds_more(self) -> bool:
        """Return whether there are received bytes that are not parsed yet."""
        return False

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn returns nothing: that closes the transport
        """Answer the complete requests, then close. An incomplete one is not run."""
        before = self._drop_unread() and not self._is_endless()
        if self._final_action is None or self._final_action == self._open_websocket:
            self._final_action = self.transport.close
        if before:
            self.cycle.keep_alive = False
        return before and not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """Note that a request has has_cycle."""
        if self._final_action is not None:
            raise _Over
        self.reading, self.head_read, self.has_cycle = True, False, False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. The parser also reports trailers here, and leaves blanks after a value."""
        if not self.head_read:
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Check the head and begin the request."""
        self.head_read = True
        method = self.parser.get_method()
        check_head(method, self.parser.get_http_version(), self.url, self.headers)
        authority, self.url = split_target(self.url)
        if authority is not None:
            self.headers[:] = [(b"host", authority), *(pair for pair in self.headers if pair[0] != b"host")]
        if self.parser.should_upgrade():
            self.scope["method"] = method.decode("ascii")
        else:
            self.on_request()
            self.has_cycle = True

    def on_request(self) -> None:
        """Begin a request whose head is valid."""
        unframed = self.parser.get_http_version() == "1.0"
        self.expect_100_continue = self.expect_100_continue and not unframed
        super().on_headers_complete()
        if unframed:
            self.cycle.send = _Unframed(self.cycle)  # type: ignore[method-assign]  # replaces uvicorn's for this cycle

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.has_cycle:
            self.note_end()
            super().on_message_complete()
        else:
            self.reading = False

    def note_end(self) -> None:
        """End the reading of a request that has a cycle."""
        self.reading = False
        if not self.parser.should_keep_alive():  # a trailer may ask for it too, and then the parser stops
            self.cycle.keep_alive = False
        if not self.cycle.keep_alive:
            self._final_action = self.transport.close
            if self.cycle.response_complete:
                self.transport.close()

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            while len(data):
                try:
                    return self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as upgrade:
                    data = memoryview(data)[upgrade.args[0] :]
                    if self._asks_websocket():
                        self._early = len(data) > 0
                        return self._when_answered(self._open_websocket, wait=self._under_way())
                    head = self._head_without_upgrade()
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does: see `ends`
                    self.parser.feed_data(head)
        except httptools.HttpParserError as error:
            fault = error.__context__
            if not isinstance(fault, _Over):
                self._refuse(_answer_to(error, fault))

    # --- how it ends --------------------------------------------------------------------------------------------------

    def refuse(self, error: CellarError) -> None:
        """Answer the request that is being read with an error, after the answers to those before it, and close."""
        self._refuse(problem_of(error))

    def on_response_complete(self) -> None:
        """Start the next request, or call `_final_action` after the last one."""
        if self._final_action is None or self.pipeline or self.transport.is_closing():
            return super().on_response_complete()
        self.server_state.total_requests += 1
        return self._final_action()

    def _refuse(self, answer: Problem) -> None:
        before = self._drop_unread()
        if not self.transport.is_closing():
            self._when_answered(partial(self._write_last, answer), wait=before)

    def _when_answered(self, act: Callable[[], None], *, wait: bool) -> None:
        self._final_action = act
        if not wait:
            act()

    def _is_endless(self) -> bool:
        cycle: Any = self.cycle
        return isinstance(cycle, RequestResponseCycle) and bool(cycle.scope["state"].get(ENDLESS))

    def _under_way(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not (cycle.response_complete or cycle.disconnected)

    def _drop_unread(self) -> bool:
        """Drop the incomplete request, if there is one. Return whether requests before it are still running.

        If it waits for those it was not started. Otherwise its application is notified that the client has left; if its
        answer has has_cycle, no other answer can be written and the connection is closed.
        """
        cycle: Any = self.cycle if self.reading and self.has_cycle else None
        self.reading = False
        if cycle is None or cycle.response_complete:
            return self._under_way()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return True
        cycle.disconnected = True
        cycle.message_event.set()
        if isinstance(cycle, RequestResponseCycle) and cycle.response_started:
            self.transport.close()
        return False

    def _write_last(self, answer: Problem) -> None:
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join((STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body))))
        self._final_action = self.transport.close
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
            self.flow.resume_reading()
        else:
            self.transport.close()

    # --- other protocols ----------------------------------------------------------------------------------------------

    def _asks_websocket(self) -> bool:
        """Return whether the request is the handshake of a WebSocket, which has no body."""
        by_name = dict(self.headers)
        asked = b",".join([value for name, value in self.headers if name == b"upgrade"])
        protocols = [name.strip().lower() for name in asked.split(b",")]
        return (
            b"websocket" in protocols
            and self.scope["method"] == "GET"
            and self.parser.get_http_version() == "1.1"
            and by_name.get(b"content-length", b"0") == b"0"
            and b"transfer-encoding" not in by_name
        )

    def _head_without_upgrade(self) -> bytes:
        """Return the head that has just been parsed without its Upgrade."""
        start = b"%s %s HTTP/%s\r\n" % (
            self.scope["method"].encode(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        lines = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join((start, *lines, b"\r\n"))

    def _open_websocket(self) -> None:
        if self._early or self.holds_more():
            return self.refuse(MalformedRequest("a WebSocket's handshake must be answered before anything follows it"))
        self._unset_keepalive_if_required()
        self.handle_websocket_upgrade()
        self.flow.resume_reading()
        return None


class _Unframed:
    """Replaces `send` of a cycle that would send an answer in chunks: the answer ends with the connection."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        cycle.chunked_encoding = False

    async def __call__(self, message: Any) -> None:
        """Send a message, with its length as the length that the cycle expects."""
        self._cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)


def _answer_to(error: httptools.HttpParserError, fault: BaseException | None) -> Problem:
    """Return the answer to a request that the parser, or one of its callbacks, did not accept."""
    if isinstance(fault, CellarError):
        return problem_of(fault)
    if isinstance(fault, BAD_TARGET):
        return problem_of(MalformedRequest("the request target is not a path in ASCII, with the rest percent-encoded"))
    if isinstance(error, httptools.HttpParserCallbackError):
        logger.error("in reading a request", exc_info=error)
        return internal_error()
    return problem_of(MalformedRequest(f"this is not an HTTP/1.1 request: {error}"))
