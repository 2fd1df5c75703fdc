"""The HTTP protocol that uvicorn is given as `http=`, with a fast path for plain steps in JSON or npy.

Most requests are steps, and most of the time of one went into an ASGI scope, a task, two messages in each direction and
the layers of a framework. On the fast path a step is read where its bytes are received, by the functions that serve all
other steps, and its answer is written by a callback. Any other request takes uvicorn's path through ASGI, and a step
gets the same answer there.
"""

from collections.abc import Iterable
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cellar.api.dependencies import Services
from cellar.api.fast_http import direct_cycle
from cellar.api.fast_http.bounded import BoundedProtocol
from cellar.api.fast_http.direct_cycle import DirectCycle, DirectRoutes
from cellar.api.fast_http.head_template import HeadTemplate, HeadTemplates, form_of
from cellar.api.fast_http.request_cycle import OK, StepCycle
from cellar.api.fast_http.request_head import Head, read_head
from cellar.api.limits.backoff import SHARE
from cellar.api.middleware.access import Access
from cellar.api.middleware.authentication import Authenticator, check_scope, scope_of
from cellar.api.outcomes.outcome import FAILED
from cellar.api.outcomes.request_id import LINE as ID_LINE
from cellar.api.outcomes.request_id import new_request_id
from cellar.errors import CellarError
from cellar.ports import Caller
from cellar.quotas.quotas import Quotas

SOON_S = 0.05
"""A request received within this time after a connection is read again may have waited in its socket before."""


class StepProtocol(BoundedProtocol):
    """One connection."""

    def __init__(self, config: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self.services: Services = config.app.state.services
        self._access: Access = config.app.state.access
        self._authenticator: Authenticator = config.app.state.authenticator
        self._credentials = self._authenticator.credentials
        self._form: bytes | None = None
        """The form of the last head that the parser has read, if it was that of a plain step."""
        self._forms: HeadTemplates = config.app.state.forms
        self._known: HeadTemplate | None = self._forms.latest
        """The template that a head is compared with: of a form that came twice, or the last one of the process."""
        self._direct: DirectRoutes = config.app.state.direct
        self._step: StepCycle | None = None
        """The request that the parser reads, if it is a plain step."""
        self._request: DirectCycle | None = None
        """The request that the parser reads, if it is one of a direct route."""
        self._data = b""
        """Received bytes that begin with a request of which nothing is parsed yet."""
        self._backoff = self._load.backoff
        self._quotas: Quotas = config.app.state.services.quotas
        self._tenant: str | None = None
        """The tenant for which the connection is counted, that of its first request; None while it is not counted."""
        if self._quotas.limits_connections:
            self._known = None  # so that the parser reads the first head, which tells the tenant
        self._held_s: tuple[float, float] | None = None
        """The time in which the connection was not read because of a refusal; None after the next request."""
        self._defaults: Iterable[tuple[bytes, bytes]] = ()
        self._default_lines = b""

    def data_received(self, data: bytes) -> None:
        """Serve a whole request whose head fits the template, or else give the bytes to the parser."""
        if not self.reading:
            known = self._known
            found = None
            if known is not None and known.revision == self._credentials.revision and not self._busy():
                found = known.split(data)
            if found is not None:
                self.idle_since_s = None
                self._load.round_robin.single += 1
                session, key, terms, request_id, body = found
                cycle = StepCycle(self, session, key, terms, request_id, keep_alive=True)
                self.cycle = cycle  # type: ignore[assignment]  # stands in the place of uvicorn's cycle
                if self._held_s is not None:
                    cycle.came_s = self._came_s()
                return cycle.run(body)
            self._data = data
        super().data_received(data)
        self._data = b""
        return None

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._step = self._request = None
        super().on_message_begin()

    def on_request(self) -> None:
        """Begin a plain step or a request of a direct route, if no other is running, else leave it to uvicorn."""
        data, self._data = self._data, b""
        method = self.parser.get_method()
        caller = None if self._busy() or self.parser.get_http_version() != "1.1" else self._caller(method)
        if caller is None:
            return super().on_request()
        if self._tenant is None and self._quotas.limits_connections:
            self._count_connection(caller.tenant)
        keep_alive = self.parser.should_keep_alive()
        found = read_head(self.url, self.headers, self._most_bytes, caller) if method == b"POST" else None
        if found is not None and self._access.admits_host(self._host()):
            self._remember(found, data if keep_alive else b"")
            self._step = step = StepCycle(self, *found, keep_alive=keep_alive)
            self.cycle = step  # type: ignore[assignment]  # stands in the place of uvicorn's cycle
            return None
        direct = None if found is not None else self._direct.find(method, self.url, self.headers, self._most_bytes)
        if direct is not None and self._access.admits_host(self._host()):
            route, session = direct
            request = self._direct.request(method, self.url, self.headers, caller)
            self._request = cycle = DirectCycle(self, route, request, session, keep_alive=keep_alive)
            self.cycle = cycle  # type: ignore[assignment]  # stands in the place of uvicorn's cycle
            return None
        return super().on_request()

    def _count_connection(self, tenant: str) -> None:
        """Count the connection for the tenant of its first request. Raise QuotaExceeded, which closes it."""
        self._quotas.check(tenant, "connections")
        self._quotas.add(tenant, "connections", 1)
        self._tenant = tenant

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        tenant, self._tenant = self._tenant, None
        if tenant is not None:
            self._quotas.add(tenant, "connections", -1)
        super().connection_lost(exc)

    def _caller(self, method: bytes) -> Caller | None:
        """Return who sends the request, None if it is refused: the application answers then."""
        try:
            caller = self._authenticator.caller(self.headers)
            check_scope(caller, scope_of(method.decode(), self.url.partition(b"?")[0].decode("latin-1")))
        except CellarError:
            return None
        return caller

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body. The parser checks it against the Content-Length."""
        direct = self._step or self._request
        if direct is not None:
            self.body_bytes += len(body)
            if direct.pieces:
                self.share.resize(self.body_bytes)
            direct.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Run the request, whose body is complete."""
        step, self._step = self._step, None
        request, self._request = self._request, None
        if step is not None:
            self.share.release()
            self.note_end()
            return step.run(b"".join(step.pieces))
        if request is not None:
            return self._run_direct(request)
        return super().on_message_complete()

    def _run_direct(self, cycle: DirectCycle) -> None:
        """Run a request of a direct route, or give it to the framework if it is not to be decoded here."""
        self.share.release()
        body = b"".join(cycle.pieces)
        call = cycle.route.bind(cycle.request, cycle.session, body)
        if call is not None:
            self.note_end()
            return direct_cycle.start(cycle, call, body, self.tasks)
        cycle.response_complete = True
        super().on_request()
        if body:
            super().on_body(body)
        return super().on_message_complete()

    def write(self, cycle: StepCycle | DirectCycle, status: bytes, head: bytes, *content: bytes | memoryview) -> None:
        """Send an answer in one piece, and continue with the next request."""
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if status is not OK or cycle.request_id is not None or self.outcomes.wants_all:
            head += self._report(cycle, status)
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        start = status, self._lines(), close, head, b"\r\n"
        if len(content) == 1:
            self.transport.write(b"".join((*start, *content)))
        else:
            self.transport.writelines((b"".join(start), *content))  # long content is not copied
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def begin(self, cycle: DirectCycle, status: bytes, head: bytes) -> None:
        """Send the head of an answer in parts."""
        if not (cycle.disconnected or self.transport.is_closing()):
            close = b"" if cycle.keep_alive else b"connection: close\r\n"
            head += self._report(cycle, status)
            self.transport.write(b"".join((status, self._lines(), close, head, b"\r\n")))

    def go_on(self, cycle: DirectCycle, part: bytes, *, last: bool) -> None:
        """Send a part of an answer; after the last one, continue with the next request."""
        cycle.response_complete = last
        if cycle.disconnected or self.transport.is_closing():
            return
        self.transport.write(part)
        if last:
            if not cycle.keep_alive:
                self.transport.close()
            self.on_response_complete()

    def _report(self, cycle: StepCycle | DirectCycle, status: bytes) -> bytes:
        """Report the outcome of a request, unless it has succeeded and only failures are wanted.

        Return the line with its id: that of the client, or a new one if the request has failed.
        """
        code, request_id = int(status[9:12]), cycle.request_id
        if request_id is None and code >= FAILED:
            request_id = new_request_id()
        if code >= FAILED or self.outcomes.wants_all:
            self.outcomes.note(cycle.outcome(code, request_id or ""))
        return b"" if request_id is None else ID_LINE % request_id.encode()

    def _lines(self) -> bytes:
        """Return the lines of the headers of every answer."""
        if self._defaults is not self.server_state.default_headers:  # uvicorn replaces them each second
            self._defaults = self.server_state.default_headers
            self._default_lines = b"".join([b"%s: %s\r\n" % header for header in self._defaults])
        return self._default_lines

    def note_answer(self) -> None:
        """Count an answered step: it pays for a share of a refusal."""
        self._backoff.free += SHARE

    def back_off(self, tenant: str) -> None:
        """Stop reading until it is this connection's turn, if many requests are refused."""
        if self.flow.holding or self.flow.read_paused or self.transport.is_closing():
            return
        if self._backoff.must_wait():
            self.flow.hold()
            self._backoff.add(tenant, self.read_again)

    def read_again(self, since_s: float) -> None:
        """Read the socket again, which was not read since `since_s`."""
        if not self.transport.is_closing():
            self._held_s = since_s, monotonic()
            self.flow.resume_socket()

    def _came_s(self) -> float | None:
        """Return the earliest time at which the request may have reached the socket; None if that is now."""
        held_s, self._held_s = self._held_s, None
        assert held_s is not None
        since_s, until_s = held_s
        return since_s if monotonic() - until_s < SOON_S else None

    def _remember(self, head: Head, data: bytes) -> None:
        """Make a template of the form of a head that was received twice in a row."""
        has_key, has_id = head.key is not None, head.request_id is not None
        form = form_of(data, keyed=has_key, identified=has_id, with_token=self._authenticator.needs_key)
        latest = self._forms.latest
        self._known = None
        revision = self._credentials.revision
        if form is not None and latest is not None and form == latest.form and latest.revision == revision:
            self._known = latest
        elif form is not None and form == self._form:
            caller_of = self._authenticator.caller_of_step
            self._known = self._forms.latest = HeadTemplate(form, head.terms, self._most_bytes, revision, caller_of)
        self._form = form

    def _host(self) -> str:
        return next(value for name, value in self.headers if name == b"host").decode("latin-1")

    def _busy(self) -> bool:
        before: RequestResponseCycle | None = self.cycle
        return (
            (before is not None and not before.response_complete)
            or self.flow.write_paused
            or self._final_action is not None
        )
