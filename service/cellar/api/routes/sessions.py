"""Create, read, list and end sessions."""

from fastapi import APIRouter, Response

from cellar.api.body import JsonRoute
from cellar.api.problems import answers
from cellar.api.routes.parameters import BODY, MODEL, PARAMETER, SESSION, STORE, Cursor, Limit, SessionName
from cellar.api.schemas.sessions import SessionAnswer, SessionRequest, SessionsAnswer
from cellar.api.services import TENANT, Parts
from cellar.errors import AlreadyExists, InvalidInput, InvalidParameter
from cellar.ports import SessionKey

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=JsonRoute)


@router.post(
    "",
    status_code=201,
    response_description="Created",
    responses={
        200: {"model": SessionAnswer, "description": "The same request came before: its session."},
        **answers(*STORE, *BODY, *MODEL, AlreadyExists),
    },
)
async def create_session(body: SessionRequest, services: Parts, response: Response) -> SessionAnswer:
    """Open a session of a model, in its initial state. A model's name alone is pinned to the newest version."""
    answer = await services.sessions.create(TENANT, **body.model_dump())
    response.status_code = 201 if answer.created else 200
    response.headers["Location"] = f"/v1/sessions/{answer.session.session}"
    return SessionAnswer.of(answer.session)


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_sessions(services: Parts, cursor: Cursor = "", limit: Limit = 100) -> SessionsAnswer:
    """List sessions, a page at a time, in no particular order."""
    try:
        page = await services.sessions.list(TENANT, cursor=cursor, limit=limit)
    except InvalidInput as error:
        raise InvalidParameter(error.detail, location="query", parameter="cursor", actual=cursor) from error
    return SessionsAnswer(sessions=[SessionAnswer.of(session) for session in page.sessions], cursor=page.cursor)


@router.get("/{session}", responses=answers(*SESSION))
async def read_session(session: SessionName, services: Parts) -> SessionAnswer:
    """Return where a session stands, without its state."""
    return SessionAnswer.of(await services.sessions.get(SessionKey(TENANT, session)))


@router.delete("/{session}", status_code=204, response_description="Deleted", responses=answers(*SESSION))
async def delete_session(session: SessionName, services: Parts) -> None:
    """End a session and forget its state."""
    await services.sessions.delete(SessionKey(TENANT, session))
