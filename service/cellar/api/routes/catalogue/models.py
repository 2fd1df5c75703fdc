"""Create, read, list and delete models."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.json_route import JsonRoute
from cellar.api.http.parameters import (
    BODY,
    CELL,
    PARAMETER,
    STORE,
    Force,
    ModelName,
    ModelRefPath,
    creation,
    tell_created,
)
from cellar.api.schemas.catalogue.models import ModelAnswer, ModelLine, ModelRequest, ModelsAnswer
from cellar.api.schemas.session.sessions import LayerAnswer
from cellar.errors import AlreadyExists, CompileFailed, InvalidInput, ModelInUse, ModelUnknown, Overloaded
from cellar.nn.model.network import Network

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)


@router.post(
    "",
    response_description="Created",
    **creation(
        ModelAnswer,
        "The same request came before: the version that it made.",
        *(*STORE, *BODY, *CELL, AlreadyExists, CompileFailed, Overloaded),
    ),
)
async def create_model(
    body: ModelRequest, request: Request, caller: CallerOf, services: Parts, response: Response
) -> ModelAnswer:
    """Create a model: compile its network and draw its first weights. Cells are built in, or equations.

    A name that is taken is 409, unless by the same network with the same seed. A client that goes away before the
    answer ends the compilation.
    """

    def create() -> tuple[ModelAnswer, bool]:
        _check_state_names(Network(body.network, pointer="/network"))
        version, is_new = services.registry.create(caller.tenant, body.name, body.network, body.seed)
        return ModelAnswer.of(version, services.registry.network(version)), is_new

    answer, created = await services.compiles.run(request, create)
    tell_created(response, f"/v1/models/{answer.model}", created=created)
    return answer


@router.get("", responses=answers(*STORE))
async def list_models(caller: CallerOf, services: Parts) -> ModelsAnswer:
    """List all models by name, each with its versions."""

    def read() -> ModelsAnswer:
        return ModelsAnswer(models=[ModelLine.of(versions) for versions in services.registry.list(caller.tenant)])

    return await run_sync(read)


@router.get("/{model}", responses=answers(*STORE, *PARAMETER, ModelUnknown))
async def read_model(model: ModelRefPath, caller: CallerOf, services: Parts) -> ModelAnswer:
    """Return the newest version of a model, or the one that is named."""

    def read() -> ModelAnswer:
        version = services.registry.get(caller.tenant, model)
        return ModelAnswer.of(version, services.registry.network(version))

    return await run_sync(read)


@router.delete(
    "/{model}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, ModelUnknown, ModelInUse),
)
async def delete_model(model: ModelName, caller: CallerOf, services: Parts, force: Force = False) -> None:
    """Delete a model with all its versions, unless sessions, jobs, shadows or snapshots depend on it.

    With `force` it is deleted all the same: its sessions are answered `model_deleted` from then on, can be read and can
    migrate; its jobs are cancelled, its shadows stop.
    """
    await services.deletions.delete(caller.tenant, model, force=force)


def _check_state_names(network: Network) -> None:
    """Refuse states whose names the JSON of a state needs for itself."""
    places = {layer.number: layer.pointer for layer in network.layers if layer.cell.states}
    for state in network.states:
        if state.name in LayerAnswer.model_fields:
            raise InvalidInput(
                f"a state cannot be called {state.name!r}: its JSON has another member of that name",
                pointer=f"{places[state.layer]}/cell/equations",
                expected="another name",
                actual=state.name,
            )
