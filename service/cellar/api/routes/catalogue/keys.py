"""Routes that make, list, rotate and revoke the API keys of the caller's tenant, and that make tickets."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Response

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import BODY, LOCATION_HEADERS, PARAMETER, STORE
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.keys import (
    KeyAnswer,
    KeyRequest,
    KeysAnswer,
    NewKeyAnswer,
    RotationRequest,
    TicketAnswer,
)
from cellar.api.schemas.names import KEY_ID_PATTERN
from cellar.errors import InvalidInput, KeysFull, KeysNotUsed, KeyUnknown
from cellar.keys.key_ring import KeyRing


async def _keys(services: Parts) -> KeyRing:
    if services.keys is None:
        raise KeysNotUsed("API keys need a pepper: set CELLAR_KEY_PEPPER")
    return services.keys


Keys = Annotated[KeyRing, Depends(_keys)]
KeyId = Annotated[str, Path(alias="id", pattern=KEY_ID_PATTERN, description="The id of the key.")]

router = APIRouter(prefix="/v1", tags=["keys"], route_class=JsonRoute)


@router.post(
    "/keys",
    status_code=201,
    response_description="Made",
    responses={**answers(*STORE, KeysNotUsed, *BODY, KeysFull), 201: {"headers": LOCATION_HEADERS}},
)
async def create_key(body: KeyRequest, caller: CallerOf, keys: Keys, response: Response) -> NewKeyAnswer:
    """Make an API key of the caller's tenant. The answer has its text, which is not stored and shown only here."""

    def make() -> NewKeyAnswer:
        """Make the key on a thread."""
        new = keys.administration.create(caller.tenant, body.name, body.scopes, lasts_s=body.expires_in_s)
        return NewKeyAnswer.made(new)

    answer = await run_sync(make)
    await keys.refresh()
    response.headers["Location"] = f"/v1/keys/{answer.id}"
    return answer


@router.get("/keys", responses=answers(*STORE, KeysNotUsed))
async def list_keys(caller: CallerOf, keys: Keys) -> KeysAnswer:
    """List the API keys of the caller's tenant, the oldest first, with those that have ended."""
    found = await run_sync(keys.administration.list, caller.tenant)
    return KeysAnswer(keys=[KeyAnswer.of(key) for key in found])


@router.get("/keys/{id}", responses=answers(*STORE, KeysNotUsed, *PARAMETER, KeyUnknown))
async def read_key(key: KeyId, caller: CallerOf, keys: Keys) -> KeyAnswer:
    """Return an API key of the caller's tenant."""
    return KeyAnswer.of(await run_sync(keys.administration.get, caller.tenant, key))


@router.post(
    "/keys/{id}/rotate",
    status_code=201,
    response_description="Made",
    responses={
        **answers(*STORE, KeysNotUsed, *PARAMETER, *BODY, KeyUnknown, KeysFull),
        201: {"headers": LOCATION_HEADERS},
    },
)
async def rotate_key(
    key: KeyId, body: RotationRequest, caller: CallerOf, keys: Keys, response: Response
) -> NewKeyAnswer:
    """Make a key with the name, scopes and lifetime of another, which ends after `overlap_s`."""

    def rotate() -> NewKeyAnswer:
        """Make the new key and end the old one on a thread."""
        return NewKeyAnswer.made(keys.administration.rotate(caller.tenant, key, overlap_s=body.overlap_s))

    answer = await run_sync(rotate)
    await keys.refresh()
    response.headers["Location"] = f"/v1/keys/{answer.id}"
    return answer


@router.delete("/keys/{id}", responses=answers(*STORE, KeysNotUsed, *PARAMETER, KeyUnknown))
async def revoke_key(key: KeyId, caller: CallerOf, keys: Keys) -> KeyAnswer:
    """End a key: in this process at once, in all others within a second. Its open streams are closed."""
    revoked = await run_sync(keys.administration.revoke, caller.tenant, key)
    await keys.refresh()
    return KeyAnswer.of(revoked)


@router.post(
    "/tickets", status_code=201, response_description="Made", responses=answers(*STORE, KeysNotUsed, InvalidInput)
)
async def create_ticket(caller: CallerOf, keys: Keys) -> TicketAnswer:
    """Make a ticket that stands for the caller's key for 30 seconds, in the URL of a WebSocket or an event stream.

    Browsers can set no header there: `new WebSocket("wss://.../stream?ticket=" + ticket)`.
    """
    if not caller.key:
        raise InvalidInput("a ticket stands for an API key, and the request has none")
    return TicketAnswer.of(keys.tickets.make(caller.key))
