"""Steps, answered where their bytes come in: as JSON or npy, with no header that asks for more.

Most requests are steps, and of the time that one takes in the process most went into a scope, a task, two messages
each way and the layers of a framework. This protocol is uvicorn's own, but for them: it reads, checks and answers them
by the functions that every other step goes through, and waits for the answer by a callback. Whatever is not plainly
of this form goes uvicorn's way, to the same answer.
"""

from collections.abc import Iterable
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cellar.api.dependencies import Services
from cellar.api.fast_http.bounded import BoundedProtocol
from cellar.api.fast_http.head_template import HeadTemplate, HeadTemplates, form_of
from cellar.api.fast_http.request_cycle import StepCycle
from cellar.api.fast_http.request_head import Head, read_head
from cellar.api.http.access import Access
from cellar.api.limits.backoff import SHARE

SOON_S = 0.05
"""What comes so soon after a connection is read again may have lain in its socket as long as it was not."""


class StepProtocol(BoundedProtocol):
    """One connection."""

    def __init__(self, config: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self.services: Services = config.app.state.services
        self._most_bytes: int = config.app.state.max_body_bytes
        self._access: Access = config.app.state.access
        self._form: bytes | None = None
        """Of the last head that the parser has read, if it was taken, and"""
        self._forms: HeadTemplates = config.app.state.forms
        self._known: HeadTemplate | None = self._forms.latest
        """what a head is compared with: that, if it came twice, or what another connection had last."""
        self._step: StepCycle | None = None
        """The request that the parser reads, if it was taken; an upgrade has no cycle, not even uvicorn's."""
        self._data = b""
        """What has come, if it begins with a request of which nothing is read yet."""
        self._backoff = self._load.backoff
        self._held_s: tuple[float, float] | None = None
        """Since when the connection was not read because of a refusal, and until when; None once it is past."""
        self._defaults: Iterable[tuple[bytes, bytes]] = ()
        self._default_lines = b""

    def data_received(self, data: bytes) -> None:
        """Take a request whole if its head is the last one's, else let the parser take what has come."""
        if not self.reading:
            known = self._known
            found = None if known is None or self._busy() else known.split(data)
            if known is not None and found is not None:
                self.idle_since_s = None
                self._load.round_robin.single += 1
                session, key, body = found
                cycle = StepCycle(self, session, key, known.terms, keep_alive=True)
                self.cycle = cycle  # type: ignore[assignment]
                if self._held_s is not None:
                    cycle.came_s = self._came_s()
                return cycle.run(body)
            self._data = data
        super().data_received(data)
        self._data = b""
        return None

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._step = None
        super().on_message_begin()

    def on_request(self) -> None:
        """Take the request if it is for steps, and plain, and nothing else is under way; else leave it to uvicorn."""
        data, self._data = self._data, b""
        found = None
        if not self._busy() and self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1":
            found = read_head(self.url, self.headers, self._most_bytes, self._access.caller(self.headers))
            if found is not None and not self._access.admits_host(self._host()):
                found = None
        if found is None:
            return super().on_request()
        keep_alive = self.parser.should_keep_alive()
        self._remember(found, data if keep_alive else b"")
        self._step = step = StepCycle(self, *found, keep_alive=keep_alive)
        self.cycle = step  # type: ignore[assignment]
        return None

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body. What a plain request says of its length is held to by the parser."""
        if self._step is not None:
            self.body_bytes += len(body)
            if self._step.pieces:
                self.share.resize(self.body_bytes)
            self._step.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Run the steps, now that they are there."""
        step, self._step = self._step, None
        if step is None:
            return super().on_message_complete()
        self.share.release()
        self.note_end()
        return step.run(b"".join(step.pieces))

    def write(self, cycle: StepCycle, status: bytes, head: bytes, *content: bytes | memoryview) -> None:
        """Send an answer in one piece, and let the connection go on."""
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if self._defaults is not self.server_state.default_headers:  # uvicorn makes them anew each second
            self._defaults = self.server_state.default_headers
            self._default_lines = b"".join([b"%s: %s\r\n" % header for header in self._defaults])
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        start = status, self._default_lines, close, head, b"\r\n"
        if len(content) == 1:
            self.transport.write(b"".join((*start, *content)))
        else:
            self.transport.writelines((b"".join(start), *content))  # what is long is not copied
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def note_answer(self) -> None:
        """Note that a step is answered: some refusals are free for it."""
        self._backoff.free += SHARE

    def back_off(self) -> None:
        """Read no more until it is this connection's turn, if many are refused."""
        if self.flow.holding or self.flow.read_paused or self.transport.is_closing():
            return
        if self._backoff.must_wait():
            self.flow.hold()
            self._backoff.add(self)

    def go_on(self, since_s: float) -> None:
        """Read what has come since the connection was held."""
        if not self.transport.is_closing():
            self._held_s = since_s, monotonic()
            self.flow.let_go()

    def _came_s(self) -> float | None:
        """Return when a request came that may have lain in the socket; None if it did not."""
        held_s, self._held_s = self._held_s, None
        assert held_s is not None
        since_s, until_s = held_s
        return since_s if monotonic() - until_s < SOON_S else None

    def _remember(self, head: Head, data: bytes) -> None:
        """Know the form of the head next time, if this is the second time that it comes."""
        form, latest = form_of(data, keyed=head.key is not None), self._forms.latest
        self._known = None
        if form is not None and latest is not None and form == latest.form:
            self._known = latest
        elif form is not None and form == self._form:
            self._known = self._forms.latest = HeadTemplate(form, head.terms, self._most_bytes)
        self._form = form

    def _host(self) -> str:
        return next(value for name, value in self.headers if name == b"host").decode("latin-1")

    def _busy(self) -> bool:
        before: RequestResponseCycle | None = self.cycle
        return (before is not None and not before.response_complete) or self.flow.write_paused or self.ends
