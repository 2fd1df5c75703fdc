"""The route for the changes of a session as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.fast_http.strict import ENDLESS
from cellar.api.http.parameters import SESSION, SessionPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.names import LAST_EVENT_ID_PATTERN
from cellar.api.schemas.session.events import ITEM, MEDIA_TYPE, event_id, text_of
from cellar.errors import CellarError, NotKept, Overloaded
from cellar.sessions.events.hub import EventHub
from cellar.sessions.events.subscription import Subscription

RETRY_MS = 1000
"""Milliseconds after which a browser connects again when the stream has ended."""

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=LAST_EVENT_ID_PATTERN,
        description="The last id that was received: resumes after it. Browsers send it by themselves.",
        examples=["0123456789abcdef-7"],
    ),
]
Kept = Annotated[bool, Query(description="Begin with the events that are kept, and not with what comes next.")]
Ticket = Annotated[str | None, Query(max_length=128, description="A ticket (`POST /v1/tickets`) instead of a key.")]

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events as they happen. The stream ends with the session.",
        "content": {MEDIA_TYPE: {"schema": ITEM}},
    }
}

router = APIRouter(prefix="/v1/sessions/{session}", tags=["events"], route_class=JsonRoute)


@router.get("/events", response_class=Response, responses={**answers(*SESSION, NotKept, Overloaded), **EVENTS})
async def watch_session(
    session: SessionPath,
    services: Parts,
    last_event_id: LastEventId = None,
    kept: Kept = False,
    ticket: Ticket = None,  # noqa: ARG001  # `Authentication` has read it
) -> Response:
    """Watch a session that was created with `events`: its outputs, every other change, and its end.

    A client that reconnects with `Last-Event-ID` gets all events since then that are still kept, and the event `gap` if
    some are not. Lines that begin with a colon are sent when nothing has happened for a while.
    """
    last = None if last_event_id is None else event_id(last_event_id)
    hub = services.event_hub
    return EventStream(hub, await hub.subscribe(session, last, kept=kept))


class EventStream(StreamingResponse):
    """The response with the events of one subscription, which ends with the response."""

    def __init__(self, hub: EventHub, subscription: Subscription) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_texts(hub, subscription), headers=headers, media_type=MEDIA_TYPE)
        self._hub = hub
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the session ends or the client disconnects."""
        scope.setdefault("state", {})[ENDLESS] = True
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.unsubscribe(self._subscription)


async def _texts(hub: EventHub, subscription: Subscription) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async for notice in hub.notices(subscription):
            yield text_of(notice, subscription.rows)
    except CellarError:  # the store is unavailable: the client connects again and gets the error of that request
        yield b": the events cannot be read now\n\n"
