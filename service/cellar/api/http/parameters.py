"""Declarations that routes share: parameters, groups of error answers, and bodies and answers that are JSON or npy."""

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator

from cellar import errors
from cellar.api.dependencies import CallerOf
from cellar.api.errors.problems import answers
from cellar.api.http.body import body_of, bytes_of
from cellar.api.http.path_segments import name_of
from cellar.api.http.query_and_headers import TIMEOUT
from cellar.api.schemas.names import (
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_PATTERN,
    MODEL_PATTERN,
    MOST_TIMEOUT_MS,
    NAME_SCHEMA,
    PREFIX_SCHEMA,
    REF_PATTERN,
    VERSION_PATTERN,
    NamePrefix,
    checked_name,
)
from cellar.ports import MOST_NAME_BYTES, SessionKey
from cellar.wire.arrays import npy

_NameInPath = Annotated[str, BeforeValidator(name_of), AfterValidator(checked_name)]


async def _session_of(
    session: Annotated[_NameInPath, Path(description="The session.", json_schema_extra=NAME_SCHEMA)], caller: CallerOf
) -> SessionKey:
    return SessionKey(caller.tenant, session)


SessionPath = Annotated[SessionKey, Depends(_session_of)]
"""The session that the path names, among those of the caller's tenant."""

WriterPath = Annotated[_NameInPath, Path(description="The writer.", json_schema_extra=NAME_SCHEMA)]

ModelName = Annotated[str, Path(pattern=MODEL_PATTERN, description="A model, with all its versions.")]
ModelRefPath = Annotated[
    str, Path(pattern=REF_PATTERN, description="A model's newest version, or one: `co2@3`, `co2@live`.")
]
VersionPath = Annotated[
    str, Path(pattern=VERSION_PATTERN, description="A model with all its versions, or one version: `co2@3`.")
]
JobName = Annotated[str, Path(pattern=MODEL_PATTERN, description="The job.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_KEY,
        pattern=IDEMPOTENCY_KEY_PATTERN,
        description="Any text that identifies the request. The same text again is applied once.",
    ),
]
Force = Annotated[bool, Query(description="Delete it although something depends on it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most entries in the answer.")]
OfModel = Annotated[
    str | None,
    Query(
        pattern=REF_PATTERN,
        description="Only those of a model, `co2`, of one version, `co2@3`, or that follow an alias, `co2@live`.",
    ),
]
Prefix = Annotated[
    NamePrefix,
    Query(description="Only those whose names begin so; the quickest of the filters.", json_schema_extra=PREFIX_SCHEMA),
]
_BASE64URL = "(?:[A-Za-z0-9_-]{4}){0,86}(?:[A-Za-z0-9_-]{2,3})?"
CURSOR_PATTERN = rf"^([0-9a-f]{{2}}([A-Za-z0-9._:-]{{0,{MOST_NAME_BYTES}}}|~{_BASE64URL}))?$"
"""A text of this form that is not a cursor is refused by the store, which says what to send."""

Cursor = Annotated[
    str,
    Query(
        max_length=350,
        description="The cursor of the last answer; empty for the first page.",
        json_schema_extra={"pattern": CURSOR_PATTERN},
    ),
]

STORE = (errors.StoreUnavailable, errors.StoreCorrupt)
PARAMETER = (errors.InvalidParameter,)
BODY = (
    errors.MalformedJson,
    errors.MalformedBody,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidInput,
    errors.NotFinite,
)
ARRAYS = (errors.ShapeMismatch,)
CELL = (errors.CellSyntaxError, errors.CellNameError, errors.CellShapeError, errors.CellLimitError)
SESSION = (*STORE, *PARAMETER, errors.SessionUnknown, errors.SessionExpired)
MODEL = (errors.ModelUnknown, errors.ModelDeleted, errors.CompileFailed)
FOLLOWED = (errors.ModelUnfit,)
"""Of requests before which a session moves to the version that its alias names."""
CONFLICT = (errors.EpochChanged, errors.Diverged, errors.Regressed, errors.StepTaken, errors.ReplayExpired)
CHANGE = (*MODEL, *FOLLOWED, errors.Overloaded, errors.FingerprintMismatch, errors.KernelRevisionMismatch, *CONFLICT)
STEP = (
    *SESSION,
    *BODY,
    *ARRAYS,
    *CHANGE,
    errors.DeadlineExceeded,
    errors.NotAcceptable,
    errors.WriterUnknown,
    errors.Overlap,
    errors.IdUnknown,
    errors.TypeMismatch,
    errors.WholeSequencesOnly,
    errors.StateNotFinite,
    errors.OutputNotFinite,
    errors.StepFailed,
)

REPLAYED = "Idempotent-Replayed"
REPLAY_HEADERS: dict[str, Any] = {
    REPLAYED: {"description": "`true` if this was applied before.", "schema": {"type": "string"}}
}
LOCATION_HEADERS: dict[str, Any] = {
    "Location": {"description": "The path of what was made.", "schema": {"type": "string"}}
}
REPLAY: dict[int | str, dict[str, Any]] = {200: {"headers": REPLAY_HEADERS}}
"""The OpenAPI response of a change whose repetition gets the same answer."""


def set_replayed(response: Response, *, replayed: bool) -> None:
    """Set the header that tells whether the same request had been applied before."""
    if replayed:
        response.headers[REPLAYED] = "true"


def creation(model: type[BaseModel], repeated: str, *kinds: type[errors.CellarError]) -> dict[str, Any]:
    """Return the status and the answers of a route whose request creates something, for its decorator.

    `model` is that of both good answers; `repeated` describes the answer to a repeated request.
    """
    again = {"model": model, "description": repeated, "headers": REPLAY_HEADERS | LOCATION_HEADERS}
    return {"status_code": 201, "responses": {200: again, 201: {"headers": LOCATION_HEADERS}, **answers(*kinds)}}


def set_created(response: Response, path: str, *, created: bool) -> None:
    """Set the path of the created thing, and the status: 201 if this request created it, 200 if an earlier one did."""
    response.status_code = 201 if created else 200
    set_replayed(response, replayed=not created)
    response.headers["Location"] = path


POSITION = "Cellar-Position"
STEP_NUMBER = "Cellar-Step"
RAN_ON = "Cellar-Model"

TIMEOUT_PARAMETER = {
    "name": TIMEOUT,
    "in": "header",
    "required": False,
    "description": "Milliseconds in which the request must begin to run; after that it is not applied.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_TIMEOUT_MS},
}


def array_body(json: type[BaseModel], query: type[BaseModel], shape: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body: a JSON document, or an npy file of that shape with a query."""
    body = body_of(json, npy.MEDIA_TYPE)
    body["content"][npy.MEDIA_TYPE] = bytes_of(f"An npy file of real numbers, {shape}.")
    return {"requestBody": body, "parameters": [*parameters_of(query, "an npy body"), TIMEOUT_PARAMETER]}


def parameters_of(query: type[BaseModel], body: str) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of a query that completes a body which is not JSON."""
    return [_parameter(name, about, body) for name, about in query.model_json_schema()["properties"].items()]


def array_answer(shape: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response of steps in npy, besides the JSON document that the route declares."""
    about = f"An npy file, float32, {shape}. A replay whose output was not kept is answered as JSON."
    headers: dict[str, Any] = {
        **REPLAY[200]["headers"],
        POSITION: {"description": "With an npy file: the position.", "schema": {"type": "string"}},
        STEP_NUMBER: {"description": "With an npy file: the step.", "schema": {"type": "integer"}},
        RAN_ON: {
            "description": "With an npy file, if the session follows an alias: the version that ran the steps.",
            "schema": {"type": "string"},
        },
    }
    return {200: {"content": {npy.MEDIA_TYPE: bytes_of(about)}, "headers": headers}}


def _parameter(name: str, schema: dict[str, Any], body: str) -> dict[str, Any]:
    bare = {key: value for key, value in schema.items() if key not in ("description", "default", "title")}
    about = f"With {body}. {schema['description']}"
    return {"name": name, "in": "query", "required": False, "description": about, "schema": bare}
