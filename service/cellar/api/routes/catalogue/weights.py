"""Routes that return the weights of a model, and the model as a file."""

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from cellar.api.dependencies import CallerOf, Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.http.body import JSON, bytes_of
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import PARAMETER, STORE, ModelRefPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.models import ModelRequest, WeightsAnswer
from cellar.errors import BodyTooLarge, ImportRefused, ModelUnknown, NotAcceptable
from cellar.interchange.export import FORMATS, ONNX_MEDIA_TYPE, Chunks, Exported, Format
from cellar.interchange.safetensors import Names, names_of_torch
from cellar.interchange.torch.state_dict import state_dict
from cellar.onnx_graph.spec import ENGINE
from cellar.ports import Caller
from cellar.wire.arrays import tensors
from cellar.wire.arrays.weights import load
from cellar.wire.json.encoding import dump_json

JSON_TIMES = 7
"""The memory of weights and of their text in JSON, with a copy of a part, over the size of the weights."""

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)

PIECE_BYTES = 256 * 1024
"""Of a file, sent at a time."""

NamesQuery = Annotated[
    Names, Query(description="cellar: by the names of parameters; torch: as PyTorch stacks and names them.")
]
FormatQuery = Annotated[
    Literal["safetensors", "torch", "json", "onnx"],
    Query(
        alias="format",
        description="safetensors: by Cellar's names. torch: a state dict as safetensors. json: a body that creates it."
        " onnx: a model of ONNX whose states are inputs and outputs.",
    ),
]


@router.get(
    "/{model}/weights",
    response_class=Response,
    responses={
        **answers(*STORE, *PARAMETER, ModelUnknown, ImportRefused, NotAcceptable, BodyTooLarge),
        200: {
            "description": "The weights, with the network in the metadata; or as JSON.",
            "content": {
                tensors.MEDIA_TYPE: bytes_of("A safetensors file of float32 tensors."),
                JSON: {"schema": {"$ref": f"#/components/schemas/{WeightsAnswer.__name__}"}},
            },
        },
    },
)
async def read_weights(
    model: ModelRefPath, request: Request, caller: CallerOf, services: Parts, names: NamesQuery = "cellar"
) -> Response:
    """Return the weights of a version, exactly: by Cellar's names, or as PyTorch stacks and names them.

    With `names=torch` they have the names that they came with, or those of a Sequential. `PUT /v1/models/{model}` takes
    the file again and makes the same weights of it, bit for bit.
    """
    kind = answer_type(request.headers, (tensors.MEDIA_TYPE, JSON))
    exported = await run_sync(_exported, services, caller, model)
    if kind == JSON:
        async with services.sessions.memory.room_for(len(exported.data), JSON_TIMES):
            return Response(await run_sync(_weights_as_json, exported, names), 200, None, JSON)
    return await _file("safetensors" if names == "cellar" else "torch", exported)


@router.get(
    "/{model}/export",
    response_class=Response,
    responses={
        **answers(*STORE, *PARAMETER, ModelUnknown, ImportRefused),
        200: {
            "description": "The file.",
            "content": {
                tensors.MEDIA_TYPE: bytes_of("With `format=safetensors` or `torch`: a safetensors file."),
                JSON: {"schema": {"$ref": f"#/components/schemas/{ModelRequest.__name__}"}},
                ONNX_MEDIA_TYPE: bytes_of("With `format=onnx`: a model of ONNX, operators of version 18."),
            },
        },
    },
)
async def export_model(
    model: ModelRefPath, caller: CallerOf, services: Parts, file_format: FormatQuery = "safetensors"
) -> Response:
    """Return a version as a file: its weights with the network, in one of several formats.

    `safetensors` has Cellar's names, `torch` is a state dict for `load_state_dict`, `json` is a body for
    `POST /v1/models`. `onnx` is one step with the states as inputs and outputs, or a whole sequence for a model that
    cannot be stepped. What comes out goes in again as the same weights, bit for bit.
    """
    if file_format == "onnx" and (hosted := await run_sync(_hosted, services, caller, model)) is not None:
        ref, data = hosted
        return _answer(ref, FORMATS[file_format], (data,))
    return await _file(file_format, await run_sync(_exported, services, caller, model))


def _hosted(services: Services, caller: Caller, model: str) -> tuple[str, memoryview] | None:
    """Return the reference and the file of a graph that is hosted as it is, None for a model of cells."""
    version = services.registry.get(caller.tenant, model)
    if services.registry.graph(version) is None:
        return None
    return version.ref, services.registry.weights_file(version)


def _exported(services: Services, caller: Caller, model: str) -> Exported:
    """Return a version of cells. Raise ImportRefused for a graph that is hosted as it is."""
    version = services.registry.get(caller.tenant, model)
    if services.registry.graph(version) is not None:
        raise ImportRefused(
            f"{version.ref} is a graph that {ENGINE} runs as it was sent",
            place=version.ref,
            expected="a model of cells",
            actual=ENGINE,
            remedy=f"GET /v1/models/{version.ref}/export?format=onnx returns the file",
        )
    network, data = services.registry.network(version), services.registry.weights_file(version)
    return Exported(version.ref, network, data, version.origin or {})


async def _file(name: str, exported: Exported) -> Response:
    """Return a version as a file that is sent in parts, so that no second copy of it is made."""
    return _answer(exported.model, FORMATS[name], await run_sync(FORMATS[name].write, exported))


def _answer(model: str, form: Format, chunks: Chunks) -> Response:
    headers = {
        "Content-Length": str(sum(len(chunk) for chunk in chunks)),
        "Content-Disposition": f'attachment; filename="{model.replace("@", "-")}.{form.suffix}"',
    }
    return StreamingResponse(_pieces(chunks), 200, headers, form.media_type)


async def _pieces(chunks: Iterable[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


def _weights_as_json(exported: Exported, names: str) -> bytes:
    weights = load(exported.data)
    if names == "torch":
        weights = state_dict(exported.network, names_of_torch(exported.network, exported.origin), weights)
    return dump_json({"model": exported.model, "weights": dict(weights)})
