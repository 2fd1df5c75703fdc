"""Routes that create, publish, read, list and delete models."""

from contextlib import suppress
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from cellar.api.decoding.model_body import OCTETS, ONNX, ModelBody, read_body
from cellar.api.dependencies import CallerOf, Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.http.body import body_of, bytes_of
from cellar.api.http.parameters import (
    ARRAYS,
    BODY,
    CELL,
    PARAMETER,
    STORE,
    Force,
    Limit,
    ModelName,
    ModelRefPath,
    VersionPath,
    creation,
    parameters_of,
    set_created,
)
from cellar.api.http.upload import MULTIPART
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.models import (
    DescriptionRequest,
    ModelAnswer,
    ModelLine,
    ModelRequest,
    ModelsAnswer,
    NamedUploadQuery,
    UploadForm,
    UploadQuery,
    VersionLine,
    VersionRequest,
    VersionsAnswer,
)
from cellar.api.schemas.names import ALIAS_PATTERN, MODEL_PREFIX_PATTERN, NUMBER_CURSOR_PATTERN, TAG_PATTERN
from cellar.api.schemas.session.sessions import LayerAnswer
from cellar.errors import (
    AlreadyExists,
    CompileFailed,
    IdUnknown,
    ImportRefused,
    InvalidInput,
    ModelInUse,
    ModelUnknown,
    Overloaded,
    TypeMismatch,
)
from cellar.interchange.check import Check, difference_of, largest_difference
from cellar.models.index import ModelFilter
from cellar.models.registry import Registry
from cellar.nn.model.network import Network
from cellar.onnx_graph.graph_network import open_graph
from cellar.onnx_graph.publishing.host import GraphFile
from cellar.ports import Caller, ModelVersion
from cellar.wire.arrays import tensors

NameCursor = Annotated[
    str, Query(pattern=MODEL_PREFIX_PATTERN, description="The cursor of the last answer; empty for the first page.")
]
NumberCursor = Annotated[
    str, Query(pattern=NUMBER_CURSOR_PATTERN, description="The cursor of the last answer; empty for the first page.")
]
NamePrefix = Annotated[str, Query(pattern=MODEL_PREFIX_PATTERN, description="Only models whose names begin so.")]
WithTag = Annotated[str | None, Query(pattern=TAG_PATTERN, description="Only versions with this tag.")]
WithAlias = Annotated[str | None, Query(pattern=ALIAS_PATTERN, description="Only versions that this alias names.")]

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)


WEIGHTS = (*STORE, *BODY, *ARRAYS, *CELL, *PARAMETER, ImportRefused, CompileFailed, Overloaded, IdUnknown, TypeMismatch)
SAME = "The newest version is the same: it is answered, and nothing is made."
FILE = bytes_of("A safetensors file. Entries `network` and `check` of its metadata are JSON as in the other forms.")

ONNX_FILE = bytes_of("A model of ONNX, with the package onnx (extra `cellar-serve[onnx]`) installed.")


def _body(json: type[BaseModel], query: type[BaseModel]) -> dict[str, Any]:
    """Return OpenAPI's description of a body that is JSON, a safetensors file or a form."""
    content = {
        **body_of(json)["content"],
        tensors.MEDIA_TYPE: FILE,
        ONNX: ONNX_FILE,
        OCTETS: FILE,
        MULTIPART: {"schema": {"$ref": f"#/components/schemas/{UploadForm.__name__}"}},
    }
    parameters = parameters_of(query, "a body that is no JSON")
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


@router.post(
    "",
    response_description="Created",
    **creation(ModelAnswer, SAME, *WEIGHTS, AlreadyExists),
    openapi_extra=_body(ModelRequest, NamedUploadQuery),
)
async def create_model(request: Request, caller: CallerOf, services: Parts, response: Response) -> ModelAnswer:
    """Create a model: compile its network and draw its first weights from the seed, or take those that are sent.

    Cells are built in, or equations. Without weights a name that is taken is 409, unless by the same network with the
    same seed; with weights the model is published as `PUT /v1/models/{model}` does it. A client that goes away before
    the answer ends the compilation.
    """
    async with read_body(request, named=True) as body:
        name = body.name
        if name is None:
            raise InvalidInput("the model needs a name", pointer="/name", expected="a name")
        if body.has_weights or body.document is None:
            return await _publish(name, body, request, caller, services, response)
        asked = body.document

        def create() -> tuple[ModelAnswer, bool]:
            """Create the model on a thread."""
            network = services.registry.networks.network(asked.network, pointer="/network")
            _check_state_names(network)
            version, is_new = services.registry.create(caller.tenant, name, asked.network, asked.seed)
            return ModelAnswer.of(version, network), is_new

        return _told(*await services.compiles.run(request, create), response)


@router.put(
    "/{model}",
    response_description="Published",
    **creation(ModelAnswer, SAME, *WEIGHTS),
    openapi_extra=_body(VersionRequest, UploadQuery),
)
async def publish_model(
    model: ModelName, request: Request, caller: CallerOf, services: Parts, response: Response
) -> ModelAnswer:
    """Publish a network with its weights as the newest version of a model, which need not exist.

    The network may be another one than that of the versions before. Weights come in JSON, or as a safetensors file
    with Cellar's names or with those of PyTorch. A model of ONNX is converted to cells, or hosted as it is. With a
    `check`, outputs are compared before anything is published, and the largest difference is kept as the metric
    `check_max_difference`.
    """
    async with read_body(request, named=False) as body:
        return await _publish(model, body, request, caller, services, response)


async def _publish(
    name: str, body: ModelBody, request: Request, caller: Caller, services: Services, response: Response
) -> ModelAnswer:
    """Read the weights of a body, compare and publish them."""

    def publish() -> tuple[ModelAnswer, bool]:
        """Read, check and publish the imported network on a thread."""
        imported, check = body.read(services.registry.memory)
        if isinstance(imported, GraphFile):
            return _publish_graph(name, imported, check, caller, services)
        network = services.registry.networks.network(imported.spec, pointer="/network")
        _check_state_names(network)
        metrics = {}
        if check is not None:
            compiled = services.registry.compile(network)
            metrics = {"check_max_difference": largest_difference(compiled, imported.weights, check)}
        version, is_new = services.registry.publish_imported(caller.tenant, name, imported, metrics=metrics)
        return ModelAnswer.of(version, network), is_new

    return _told(*await services.compiles.run(request, publish), response)


def _publish_graph(
    name: str, file: GraphFile, check: Check | None, caller: Caller, services: Services
) -> tuple[ModelAnswer, bool]:
    """Compare and publish a graph that is hosted as it is."""
    metrics = {}
    if check is not None:
        metrics = {"check_max_difference": difference_of(open_graph(file.graph, file.data), check)}
    version, is_new = services.registry.publish_graph(caller.tenant, name, file.graph, file.data, metrics=metrics)
    return ModelAnswer.of(version, services.registry.sizes(version)), is_new


def _told(answer: ModelAnswer, created: bool, response: Response) -> ModelAnswer:
    """Return an answer, and say on the response whether a version was made, and where it is."""
    set_created(response, f"/v1/models/{answer.model}", created=created)
    return answer


@router.get("", responses=answers(*STORE, *PARAMETER))
async def list_models(
    caller: CallerOf,
    services: Parts,
    cursor: NameCursor = "",
    limit: Limit = 1000,
    prefix: NamePrefix = "",
    tag: WithTag = None,
    alias: WithAlias = None,
) -> ModelsAnswer:
    """List models by name, each with its versions, or with those that a tag or an alias selects.

    A page may have fewer models than `limit` before the end, because the number of models that are examined is bounded.
    """
    wanted = ModelFilter(prefix, tag, alias)

    def read() -> ModelsAnswer:
        """Read from the registry on a thread."""
        found, after = services.registry.list(caller.tenant, wanted, after=cursor, limit=limit)
        return ModelsAnswer(models=[ModelLine.of(listed) for listed in found], cursor=after)

    return await run_sync(read)


@router.get("/{model}/versions", responses=answers(*STORE, *PARAMETER, ModelUnknown))
async def list_versions(
    model: ModelName, caller: CallerOf, services: Parts, cursor: NumberCursor = "", limit: Limit = 1000
) -> VersionsAnswer:
    """List the versions of a model, oldest first.

    A page may have fewer versions than `limit` before the end, because deleted ones are passed over.
    """

    def read() -> VersionsAnswer:
        """Read from the registry on a thread."""
        found, after = services.registry.page(caller.tenant, model, after=int(cursor or 0), limit=limit)
        lines = [VersionLine.of(listed.version, listed.aliases) for listed in found]
        return VersionsAnswer(versions=lines, cursor=str(after or ""))

    return await run_sync(read)


@router.get("/{model}", responses=answers(*STORE, *PARAMETER, ModelUnknown))
async def read_model(model: ModelRefPath, caller: CallerOf, services: Parts) -> ModelAnswer:
    """Return the newest version of a model, or the one that is named."""

    def read() -> ModelAnswer:
        """Read from the registry on a thread."""
        return _answer(services.registry, services.registry.get(caller.tenant, model))

    return await run_sync(read)


@router.patch("/{model}", responses=answers(*STORE, *PARAMETER, *BODY, ModelUnknown))
async def describe_model(
    model: ModelRefPath, body: DescriptionRequest, caller: CallerOf, services: Parts
) -> ModelAnswer:
    """Change the tags or the description of a version, or both. All else of a version never changes."""

    def describe() -> ModelAnswer:
        """Change it on a thread."""
        registry = services.registry
        version = registry.describe(caller.tenant, model, tags=body.tags, description=body.description)
        return _answer(registry, version)

    return await run_sync(describe)


def _answer(registry: Registry, version: ModelVersion) -> ModelAnswer:
    """Return the answer for a version, with its aliases."""
    with suppress(ModelUnknown):  # deleted at the same time
        aliases = registry.aliases(version.tenant, version.name)
        return ModelAnswer.of(version, registry.sizes(version), aliases)
    return ModelAnswer.of(version, registry.sizes(version))


@router.delete(
    "/{model}",
    status_code=204,
    response_description="Deleted",
    responses=answers(*STORE, *PARAMETER, ModelUnknown, ModelInUse),
)
async def delete_model(model: VersionPath, caller: CallerOf, services: Parts, force: Force = False) -> None:
    """Delete a model, or one version, unless sessions, jobs, shadows, snapshots or aliases of the version need it.

    With `force` it is deleted in any case: its sessions are then answered `model_deleted`, but can be read and can
    migrate; its jobs are cancelled, its shadows stop, its aliases are deleted. Sessions that follow an alias of
    another version, to which their state can be carried, run on that version and do not count.
    """
    await services.deletions.delete(caller.tenant, model, force=force)


def _check_state_names(network: Network) -> None:
    """Raise InvalidInput for a state with the name of another member of the JSON of states."""
    places = {layer.number: layer.pointer for layer in network.layers if layer.cell.states}
    for state in network.states:
        if state.name in LayerAnswer.model_fields:
            raise InvalidInput(
                f"a state cannot be called {state.name!r}: its JSON has another member of that name",
                pointer=f"{places[state.layer]}/cell/equations",
                expected="another name",
                actual=state.name,
            )
