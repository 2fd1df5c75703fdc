"""Routes that take, list, read, delete and restore snapshots of a session, and that fork it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers, document_of
from cellar.api.http.parameters import (
    BODY,
    CHANGE,
    CONFLICT,
    REPLAY,
    SESSION,
    IdempotencyKey,
    SessionPath,
    creation,
    set_created,
    set_replayed,
)
from cellar.api.http.path_segments import session_path
from cellar.api.routes.json_route import JsonRoute
from cellar.api.routes.session.state import changed
from cellar.api.schemas.names import SNAPSHOT_PATTERN
from cellar.api.schemas.session.sessions import ChangeAnswer
from cellar.api.schemas.snapshots import (
    ChildAnswer,
    ForkAnswer,
    ForkRequest,
    RestoreRequest,
    SnapshotAnswer,
    SnapshotRequest,
    SnapshotsAnswer,
)
from cellar.errors import (
    AlreadyExists,
    FingerprintMismatch,
    ForkTooLarge,
    SnapshotsFull,
    SnapshotUnfit,
    SnapshotUnknown,
)

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)


async def _snapshot_of(snapshot: Annotated[str, Path(pattern=SNAPSHOT_PATTERN, description="The snapshot.")]) -> str:
    return snapshot


SnapshotName = Annotated[str, Depends(_snapshot_of)]
"""A dependency as the session is, because the document names path parameters of dependencies last."""


@router.post(
    "/snapshots",
    response_description="Taken",
    **creation(
        SnapshotAnswer,
        "The same request came before: its snapshot.",
        *(*SESSION, *BODY, *CONFLICT, AlreadyExists, SnapshotsFull),
    ),
)
async def take_snapshot(
    session: SessionPath, body: SnapshotRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> SnapshotAnswer:
    """Keep the state of a session under a name. The snapshot is deleted with the session.

    A repeated request returns the same snapshot: one with the same Idempotency-Key, with the position of the snapshot,
    or with neither as long as the session has not changed.
    """
    answer = await services.snapshots.take(session, body.snapshot, body.identity(key))
    set_created(response, session_path(session.session, "snapshots", body.snapshot), created=answer.taken)
    return SnapshotAnswer.of(session.session, answer.snapshot)


@router.get("/snapshots", responses=answers(*SESSION))
async def list_snapshots(session: SessionPath, services: Parts) -> SnapshotsAnswer:
    """List all snapshots of a session by name."""
    found = await services.snapshots.list(session)
    return SnapshotsAnswer(snapshots=[SnapshotAnswer.of(session.session, snapshot) for snapshot in found])


@router.get("/snapshots/{snapshot}", responses=answers(*SESSION, SnapshotUnknown))
async def read_snapshot(session: SessionPath, snapshot: SnapshotName, services: Parts) -> SnapshotAnswer:
    """Return the position and the model of the session at the time of the snapshot."""
    return SnapshotAnswer.of(session.session, await services.snapshots.get(session, snapshot))


@router.delete(
    "/snapshots/{snapshot}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*SESSION, SnapshotUnknown),
)
async def delete_snapshot(session: SessionPath, snapshot: SnapshotName, services: Parts) -> None:
    """Delete a snapshot."""
    await services.snapshots.delete(session, snapshot)


@router.post("/restore", responses={**answers(*SESSION, *BODY, *CHANGE, SnapshotUnknown, SnapshotUnfit), **REPLAY})
async def restore_session(
    session: SessionPath, body: RestoreRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Restore the state of a snapshot. The session is then at step 0 of a new epoch.

    A snapshot of another model than the session has now is refused.
    """
    answer = await services.snapshots.restore(session, body.snapshot, body.identity(key))
    return changed(answer, response)


@router.post("/fork", responses={**answers(*SESSION, *BODY, *CONFLICT, FingerprintMismatch, ForkTooLarge), **REPLAY})
async def fork_session(
    session: SessionPath, body: ForkRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ForkAnswer:
    """Create sessions that begin with the state of this one: of its model, each at step 0 of a new epoch.

    Each child is created by itself, and answered with its position or its problem. A request with `position` or an
    Idempotency-Key can be repeated for a day: it creates the children that are missing, with the state that the parent
    had at the first request, and gives the same answer.
    """
    answer = await services.forks.fork(session, body.children, body.identity(key), ttl_s=body.ttl_s)
    set_replayed(response, replayed=answer.replayed)
    problems = [None if child.problem is None else document_of(child.problem) for child in answer.children]
    children = [*map(ChildAnswer.of, answer.children, problems)]
    return ForkAnswer(position=str(answer.position), children=children)
