"""Routes that create and delete many sessions in one request."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from starlette.requests import Request

from cellar.api.bulk.creation import create_lines
from cellar.api.bulk.failed_lines import FailedLines
from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import body_type
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import (
    LOCATION_HEADERS,
    PARAMETER,
    REPLAY_HEADERS,
    STORE,
    IdempotencyKey,
    OfModel,
    Prefix,
    set_replayed,
)
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.names import DELETION_PATTERN
from cellar.api.schemas.session.sessions import MAX_TTL_S, DeletionAnswer
from cellar.errors import (
    BodyTooLarge,
    DeletionUnknown,
    FingerprintMismatch,
    InvalidInput,
    InvalidParameter,
    NotAcceptable,
    UnsupportedMediaType,
)
from cellar.ports import SessionFilter
from cellar.wire.json import lines

router = APIRouter(prefix="/v1", tags=["sessions"], route_class=JsonRoute)

ANSWER = ("SessionLineAnswer", "Problem")

IdleS = Annotated[
    int | None,
    Query(
        ge=1,
        le=MAX_TTL_S,
        description="Only those that have not changed for this many seconds, and may expire.",
    ),
]
DryRun = Annotated[bool, Query(description="Only count the sessions.")]
DeletionName = Annotated[str, Path(pattern=DELETION_PATTERN, description="The deletion.")]


def _lines_of(*kinds: str) -> dict[str, Any]:
    # x-itemSchema: OpenAPI 3.1 cannot describe the documents of a stream
    found = [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]
    return {lines.MEDIA_TYPE: {"schema": {"type": "string"}, "x-itemSchema": {"anyOf": found}}}


@router.post(
    "/sessions/bulk",
    response_class=Response,
    responses={
        **answers(BodyTooLarge, InvalidInput, NotAcceptable, UnsupportedMediaType),
        200: {
            "description": "An answer for each, in their order.",
            "content": _lines_of("SessionLineAnswer", "Problem"),
        },
    },
    openapi_extra={"requestBody": {"required": True, "content": _lines_of("SessionLine")}},
)
async def create_sessions(request: Request, caller: CallerOf, services: Parts) -> Response:
    """Create up to 10,000 sessions, each of which succeeds or fails by itself.

    Each line is a session as for `POST /v1/sessions`, perhaps with a state, and is answered by a line: the session, or
    a problem document. The same request again answers the same sessions, with `replayed`.
    """
    body_type(request.headers.get("content-type", ""), lines.MEDIA_TYPE)
    answer_type(request.headers, (lines.MEDIA_TYPE,))
    failed = FailedLines("/v1/sessions/bulk")
    content = await create_lines(services.sessions, caller.tenant, await request.body(), failed)
    failed.report(request.scope)
    return Response(content, media_type=lines.MEDIA_TYPE)


@router.delete(
    "/sessions",
    responses={
        **answers(*STORE, *PARAMETER, FingerprintMismatch),
        200: {"headers": REPLAY_HEADERS},
        202: {
            "model": DeletionAnswer,
            "description": "It continues.",
            "headers": LOCATION_HEADERS | REPLAY_HEADERS,
        },
    },
)
async def delete_sessions(
    caller: CallerOf,
    services: Parts,
    response: Response,
    model: OfModel = None,
    prefix: Prefix = "",
    idle_s: IdleS = None,
    dry_run: DryRun = False,
    key: IdempotencyKey = None,
) -> DeletionAnswer:
    """Delete all sessions that fit the filters, of which at least one is needed.

    If that takes longer than a second it is 202, and `GET /v1/deletions/{deletion}` tells how far it is. A deletion is
    continued if its process dies, and counts each session once.
    """
    wanted = SessionFilter(model, prefix, idle_s=idle_s)
    try:
        deletion, is_repeated = await services.bulk_deletions.begin(caller.tenant, wanted, dry_run=dry_run, key=key)
    except FingerprintMismatch:
        raise
    except InvalidInput as error:
        detail = f"query: {error.detail}"
        raise InvalidParameter(detail, location="query", parameter="prefix", expected=error.expected) from error
    if deletion.ended_s is None:
        response.status_code = 202
        response.headers["Location"] = f"/v1/deletions/{deletion.deletion}"
    set_replayed(response, replayed=is_repeated)
    return DeletionAnswer.of(deletion)


@router.get("/deletions/{deletion}", responses=answers(*STORE, *PARAMETER, DeletionUnknown))
async def read_deletion(deletion: DeletionName, caller: CallerOf, services: Parts) -> DeletionAnswer:
    """Return how far a deletion of many sessions is. It is kept for a week after its end."""
    return DeletionAnswer.of(await services.bulk_deletions.get(caller.tenant, deletion))
