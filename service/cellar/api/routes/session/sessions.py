"""Routes that create, read, list, update and delete sessions."""

from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Response

from cellar.api.dependencies import CallerOf, Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.http.body import JSON
from cellar.api.http.parameters import (
    BODY,
    MODEL,
    PARAMETER,
    REPLAY,
    SESSION,
    STORE,
    Cursor,
    IdempotencyKey,
    Limit,
    OfModel,
    Prefix,
    SessionPath,
    WriterPath,
    creation,
    set_created,
    set_replayed,
)
from cellar.api.http.path_segments import session_path
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.names import dump_members
from cellar.api.schemas.session.sessions import (
    SessionAnswer,
    SessionRequest,
    SessionsAnswer,
    SessionUpdate,
    WarmUpRequest,
    WriterAnswer,
)
from cellar.errors import (
    AlreadyExists,
    DatasetUnknown,
    FingerprintMismatch,
    IdUnknown,
    InvalidInput,
    InvalidParameter,
    KernelRevisionMismatch,
    Overloaded,
)
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.warm_up import WarmUp
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.ports import SessionFilter
from cellar.sessions.service.options import SessionOptions
from cellar.sessions.values.model_protocol import Model
from cellar.sessions.values.results import CreateAnswer

Pinned = Annotated[bool | None, Query(description="Only those that never expire, or only those that may.")]

WARM_UP = (AlreadyExists, DatasetUnknown, IdUnknown)

UPDATE = (Overloaded, KernelRevisionMismatch, FingerprintMismatch)

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=JsonRoute)


@router.post(
    "",
    response_model=SessionAnswer,
    response_description="Created",
    **creation(SessionAnswer, "The same request came before: its session.", *STORE, *BODY, *MODEL, *WARM_UP),
)
async def create_session(body: SessionRequest, caller: CallerOf, services: Parts) -> Response:
    """Create a session of a model. A model's name alone is pinned to the newest version.

    The session has the initial state, or with `warm_up` the state after the last rows of a dataset, as if they had been
    sent as steps: a forecast of it continues the data.
    """
    if body.warm_up is not None:
        answer = await _create_warm(body, body.warm_up, caller.tenant, services)
    else:
        options = body.model_dump(exclude={"learning", "warm_up"})
        answer = await services.sessions.create(caller.tenant, **options, learning=body.learning_text)
    response = Response(dump_members(SessionAnswer.members(answer.session)), media_type=JSON)
    set_created(response, session_path(answer.session.key.session), created=answer.created)
    return response


async def _create_warm(body: SessionRequest, rows: WarmUpRequest, tenant: str, services: Services) -> CreateAnswer:
    sessions = services.sessions
    kept = body.history, body.log, body.events, body.pinned, body.learning_text
    options = SessionOptions(body.batch_size, sessions.ttl_s(body.ttl_s), *kept)
    return await services.warm_ups.create(
        tenant, body.model, body.session, options, rows.dataset, partial(_begin_warm_up, rows)
    )


def _begin_warm_up(rows: WarmUpRequest, model: Model, table: Any) -> WarmUp:
    bound = model.network
    if not isinstance(bound, BoundNetwork | LearningNetwork):
        raise InvalidInput(
            f"{model.version.ref} is a graph of ONNX, which reads no datasets",
            pointer="/warm_up",
            expected="a network of layers",
        )
    # Networks that learn run as others do.
    return WarmUp(cast(BoundNetwork, bound), table, rows.series, rows.rows, rows.inputs)


@router.get("", response_model=SessionsAnswer, responses=answers(*STORE, *PARAMETER))
async def list_sessions(
    caller: CallerOf,
    services: Parts,
    cursor: Cursor = "",
    limit: Limit = 100,
    model: OfModel = None,
    prefix: Prefix = "",
    pinned: Pinned = None,
) -> Response:
    """List sessions, a page at a time, in no particular order.

    A page takes milliseconds with any number of sessions. With a filter it may therefore be short, or empty, although
    there are more sessions: continue until the cursor is empty.
    """
    wanted = SessionFilter(model, prefix, pinned)
    try:
        page = await services.sessions.list(caller.tenant, cursor=cursor, limit=limit, wanted=wanted)
    except InvalidInput as error:
        raise InvalidParameter(error.detail, location="query", parameter="cursor", actual=cursor) from error
    sessions = [SessionAnswer.members(session) for session in page.sessions]
    return Response(dump_members({"sessions": sessions, "cursor": page.cursor}), media_type=JSON)


@router.get("/{session}", responses=answers(*SESSION))
async def read_session(session: SessionPath, services: Parts) -> SessionAnswer:
    """Return the position, the model and the lifetime of a session, without its state."""
    return SessionAnswer.of(await services.sessions.get(session))


@router.get("/{session}/writers/{writer}", responses=answers(*SESSION))
async def read_writer(session: SessionPath, writer: WriterPath, services: Parts) -> WriterAnswer:
    """Return the number of a writer's last request, after which a client that has lost its numbers can continue."""
    return WriterAnswer.of(session.session, writer, await services.sessions.writer(session, writer))


@router.patch("/{session}", responses={**answers(*SESSION, *BODY, *MODEL, *UPDATE), **REPLAY})
async def update_session(
    session: SessionPath, body: SessionUpdate, services: Parts, response: Response, key: IdempotencyKey = None
) -> SessionAnswer:
    """Change the lifetime of a session, or whether it expires at all. Its position does not change.

    The lifetime begins again.
    """
    answer = await services.sessions.update(session, ttl_s=body.ttl_s, pinned=body.pinned, once=key)
    set_replayed(response, replayed=answer.replayed)
    return SessionAnswer.of(answer.session)


@router.delete("/{session}", status_code=204, response_description="Deleted", responses=answers(*SESSION))
async def delete_session(session: SessionPath, services: Parts) -> None:
    """Delete a session and its state."""
    await services.sessions.delete(session)
