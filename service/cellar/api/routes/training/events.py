"""The route for the events of a training job as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.fast_http.strict import ENDLESS
from cellar.api.http.parameters import PARAMETER, STORE, JobName
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.names import JOB_EVENT_ID_PATTERN
from cellar.api.schemas.training.events import JOB_EVENT, job_event_text
from cellar.errors import CellarError, JobUnknown, Overloaded
from cellar.jobs.following import JobFollower, JobFollowing
from cellar.ports import JobPlace

RETRY_MS = 1000
"""Milliseconds after which a browser connects again when the stream has ended."""

MEDIA_TYPE = "text/event-stream"

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=JOB_EVENT_ID_PATTERN,
        description="The last id that was received: resumes after it. Browsers send it by themselves.",
        examples=["1700000000250-7"],
    ),
]
Ticket = Annotated[str | None, Query(max_length=128, description="A ticket (`POST /v1/tickets`) instead of a key.")]


def events_of(what: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the good answers of a route with the events of a job or a sweep, for the API document."""
    return {
        200: {
            "description": f"The events as they happen. The stream ends with the {what}.",
            "content": {MEDIA_TYPE: {"schema": schema}},
        },
        204: {
            "description": f"The {what} has ended, and the event of `Last-Event-ID` was its last one: browsers stop."
        },
    }


router = APIRouter(prefix="/v1/jobs/{job}", tags=["jobs"], route_class=JsonRoute)


@router.get(
    "/events",
    response_class=Response,
    responses={**answers(*STORE, *PARAMETER, JobUnknown, Overloaded), **events_of("job", JOB_EVENT)},
)
async def follow_job(
    job: JobName,
    caller: CallerOf,
    services: Parts,
    last_event_id: LastEventId = None,
    ticket: Ticket = None,  # noqa: ARG001  # `Authentication` has read it
) -> Response:
    """Follow a job: its states, its progress with losses and speed, and its end.

    The stream begins with the first event that is kept (the newest 1,000 are), or behind `Last-Event-ID`. Lines that
    begin with a colon are sent when nothing has happened for a while.
    """
    return await event_answer(services.job_following, JobPlace(caller.tenant, job, last_event_id or ""))


async def event_answer(following: JobFollowing, place: JobPlace) -> Response:
    """Return the events behind a place as a response. Raise as `JobFollowing.follow`."""
    follower = await following.follow(place)
    if follower.is_over:
        following.unfollow(follower)
        return Response(status_code=204)
    return JobEventStream(following, follower)


class JobEventStream(StreamingResponse):
    """The response with the events for one follower, which ends with the response."""

    def __init__(self, following: JobFollowing, follower: JobFollower) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_texts(following, follower), headers=headers, media_type=MEDIA_TYPE)
        self._following = following
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the job ends or the client disconnects."""
        scope.setdefault("state", {})[ENDLESS] = True
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._following.unfollow(self._follower)


async def _texts(following: JobFollowing, follower: JobFollower) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async for event in following.events(follower):
            yield job_event_text(event)
    except CellarError:  # the store is unavailable: the client connects again and gets the error of that request
        yield b": the events cannot be read now\n\n"
