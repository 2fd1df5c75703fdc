"""Reports the outcomes of requests that are served through ASGI, and answers their request ids."""

from time import monotonic
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.outcomes.outcome import FAILED, SESSION, Outcome, Outcomes
from cellar.api.outcomes.request_id import NAME, accepted, new_request_id

NOTE = "cellar.note"
"""Key of the note in the scope of a request."""

CALLER = "cellar.caller"
"""Key of the caller in the scope of a request. `Authentication` sets it."""


class Note:
    """The facts about a request while it is served. All copies of its scope share it."""

    __slots__ = ("began_s", "problem", "request_id", "scope", "status")

    def __init__(self, scope: Scope) -> None:
        self.began_s = monotonic()
        self.scope = scope
        """The scope as the router has it, if the request comes so far."""
        self.status = 0
        self.problem = ""
        sent = next((value for name, value in scope["headers"] if name == NAME), None)
        self.request_id = accepted(sent)

    def answered_id(self, status: int) -> str | None:
        """Return the id that an answer of this status has: that of the client, or a new one if the request failed."""
        self.status = status
        if self.request_id is None and status >= FAILED:
            self.request_id = new_request_id()
        return self.request_id

    def outcome(self) -> Outcome:
        """Return the outcome of the request, which was answered or has failed."""
        scope = self.scope
        caller: Any = scope.get(CALLER)
        found = SESSION.match(scope["path"])
        return Outcome(
            "http",
            scope["method"],
            _route_of(scope),
            self.status,
            self.problem,
            "" if caller is None else caller.tenant,
            "" if found is None else found[1],
            monotonic() - self.began_s,
            self.request_id or "",
        )


def _route_of(scope: Scope) -> str:
    """Return the path of a request with placeholders, "" for one that no route has."""
    route: Any = scope.get("route")
    if route is not None:
        return str(route.path)
    path: str = scope["path"]
    return "/v1/sessions/{session}" + SESSION.sub("", path) if SESSION.match(path) and path.count("/") < 5 else ""


class ReportOutcomes:
    """Reports each request when it is answered. It is the outermost middleware."""

    def __init__(self, app: ASGIApp, outcomes: Outcomes) -> None:
        self._app = app
        self._outcomes = outcomes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, and add its id to the answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        note = scope[NOTE] = Note(scope)

        async def noted(message: Message) -> None:
            """Send a message; the head of the answer gets the id."""
            if message["type"] == "http.response.start":
                request_id = note.answered_id(message["status"])
                if request_id is not None:
                    message = {**message, "headers": [*message["headers"], (NAME, request_id.encode())]}
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            note.status, note.problem = 500, "internal_error"
            raise
        finally:
            if note.status >= FAILED or (note.status and self._outcomes.wants_all):
                self._outcomes.note(note.outcome())


class NoteScope:
    """Notes the scope that the router gets, in which the route and the caller stand. It is the innermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        note: Note | None = scope.get(NOTE)
        if note is not None:
            note.scope = scope
        return await self._app(scope, receive, send)
