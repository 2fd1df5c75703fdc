"""Routes that move, read and delete the aliases of a model."""

from contextlib import suppress
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from cellar.api.dependencies import CallerOf, Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import BODY, LOCATION_HEADERS, PARAMETER, REPLAY_HEADERS, STORE, ModelName, set_replayed
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.aliases import MOST_VERSION, AliasAnswer, AliasesAnswer, AliasRequest, MovedAlias
from cellar.api.schemas.names import ALIAS_PATTERN
from cellar.errors import AliasesFull, AliasMoved, AliasUnknown, ModelUnknown, StoreUnavailable
from cellar.ports import ANY_VERSION

AliasName = Annotated[str, Path(pattern=ALIAS_PATTERN, description="The alias.")]
Expected = Annotated[
    int | None,
    Query(ge=1, le=MOST_VERSION, description="Delete it only if it names this version now."),
]

router = APIRouter(prefix="/v1/models/{model}/aliases", tags=["models"], route_class=JsonRoute)


@router.put(
    "/{alias}",
    response_description="Moved, or it named the version already",
    responses={
        **answers(*STORE, *PARAMETER, *BODY, ModelUnknown, AliasMoved, AliasesFull),
        200: {"headers": REPLAY_HEADERS | LOCATION_HEADERS},
        201: {"model": MovedAlias, "description": "Created", "headers": LOCATION_HEADERS},
    },
)
async def move_alias(
    model: ModelName, alias: AliasName, body: AliasRequest, caller: CallerOf, services: Parts, response: Response
) -> MovedAlias:
    """Let an alias name a version of the model, with `expected` only if it names that one now.

    `model@alias` is a reference to that version wherever a model is named. Sessions that follow the alias run on the
    new version from their next step on: in this process at once, in all others within two seconds.
    """

    def move() -> tuple[MovedAlias, bool]:
        """Move the alias on a thread."""
        moved = services.registry.move_alias(caller.tenant, model, alias, body.version, body.expected_version)
        return MovedAlias(**dict(AliasAnswer.of(moved.alias)), before=moved.before), moved.changed

    answer, changed = await run_sync(move)
    await _notice(services, caller.tenant)
    response.status_code = 201 if answer.before is None else 200
    set_replayed(response, replayed=not changed)
    response.headers["Location"] = f"/v1/models/{model}/aliases/{alias}"
    return answer


@router.get("", responses=answers(*STORE, *PARAMETER, ModelUnknown))
async def list_aliases(model: ModelName, caller: CallerOf, services: Parts) -> AliasesAnswer:
    """List the aliases of a model by name."""
    found = await run_sync(services.registry.aliases, caller.tenant, model)
    return AliasesAnswer(aliases=[AliasAnswer.of(alias) for alias in found])


@router.get("/{alias}", responses=answers(*STORE, *PARAMETER, AliasUnknown))
async def read_alias(model: ModelName, alias: AliasName, caller: CallerOf, services: Parts) -> AliasAnswer:
    """Return the version that an alias names."""
    return AliasAnswer.of(await run_sync(services.registry.find_alias, caller.tenant, model, alias))


@router.delete(
    "/{alias}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, AliasUnknown, AliasMoved),
)
async def delete_alias(
    model: ModelName, alias: AliasName, caller: CallerOf, services: Parts, expected: Expected = None
) -> None:
    """Delete an alias. Sessions that follow it stay on their version, and follow it again if it is created again."""
    wanted = ANY_VERSION if expected is None else expected
    await run_sync(services.registry.delete_alias, caller.tenant, model, alias, wanted)
    await _notice(services, caller.tenant)


async def _notice(services: Services, tenant: str) -> None:
    """Let the sessions of all processes of this service follow a move of an alias from their next step on."""
    with suppress(StoreUnavailable):  # it has moved, and the next question, in a second, finds that
        await services.sessions.aliases.refresh(tenant)
    await services.refresh_others()
