"""Declarations that routes share: parameters in paths, queries and headers, and groups of error answers."""

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Response
from pydantic import BaseModel

from cellar import errors
from cellar.api.dependencies import CallerOf
from cellar.api.errors.problems import answers
from cellar.api.schemas.names import (
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_PATTERN,
    MODEL_PATTERN,
    NAME_PATTERN,
    REF_PATTERN,
    VERSION_PATTERN,
)
from cellar.ports import SessionKey


async def _session_of(
    session: Annotated[str, Path(pattern=NAME_PATTERN, description="The session.")], caller: CallerOf
) -> SessionKey:
    return SessionKey(caller.tenant, session)


SessionPath = Annotated[SessionKey, Depends(_session_of)]
"""The session that the path names, among those of the caller's tenant."""

WriterPath = Annotated[str, Path(pattern=NAME_PATTERN, description="The writer.")]

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
CURSOR_PATTERN = r"^([0-9a-f]{2}[A-Za-z0-9._:-]{0,128})?$"
"""A text of this form that is not a cursor is refused by the store, which says what to send."""

Cursor = Annotated[
    str,
    Query(
        max_length=256,
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
CONFLICT = (errors.EpochChanged, errors.Diverged, errors.Regressed, errors.StepTaken, errors.ReplayExpired)
CHANGE = (*MODEL, errors.Overloaded, errors.FingerprintMismatch, errors.KernelRevisionMismatch, *CONFLICT)
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
    errors.WholeSequencesOnly,
    errors.StateNotFinite,
    errors.OutputNotFinite,
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
