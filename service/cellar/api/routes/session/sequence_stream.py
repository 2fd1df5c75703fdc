"""The route for a sequence of any length in one request."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cellar import errors
from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import body_type, bytes_of
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import STEP, IdempotencyKey, SessionPath, parameters_of
from cellar.api.http.query_and_headers import of_query, read_query
from cellar.api.schemas.session.sequence_stream import LongQuery
from cellar.api.sequence_stream.requests import Lines, Reader, Size, npy_rows
from cellar.api.sequence_stream.response import SequenceResponse
from cellar.ports import RowChoice
from cellar.sessions.operations import long_sequence
from cellar.sessions.values.model_protocol import RowReader
from cellar.wire.arrays import npy
from cellar.wire.json import lines

router = APIRouter(prefix="/v1/sessions/{session}", tags=["steps"])

READERS: dict[str, Callable[[Size, int, RowChoice | None, RowReader | None], Reader]] = {
    lines.MEDIA_TYPE: Lines,
    npy.MEDIA_TYPE: npy_rows,
}


def _of_lines(*kinds: str) -> dict[str, Any]:
    # x-itemSchema: OpenAPI 3.1 cannot describe the documents of a stream
    found = [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]
    return {lines.MEDIA_TYPE: {"schema": {"type": "string"}, "x-itemSchema": {"anyOf": found}}}


BODY = {
    **_of_lines("LongStep", "LongSteps"),
    npy.MEDIA_TYPE: bytes_of("An npy file in C order, (T, batch_size, in_size), or (T, in_size) of one row."),
}


@router.post(
    "/sequence/stream",
    response_class=Response,
    responses={
        **answers(*(kind for kind in STEP if kind is not errors.DeadlineExceeded), errors.SessionMoved),
        200: {
            "description": "A line for each chunk, and the last for all; a problem document if something fails later.",
            "content": _of_lines("LongAnswer", "LongEnd", "Problem"),
        },
    },
    openapi_extra={
        "requestBody": {"required": True, "content": BODY},
        "parameters": parameters_of(LongQuery, "this body"),
    },
)
async def stream_sequence(
    session: SessionPath, request: Request, services: Parts, key: IdempotencyKey = None
) -> Response:
    """Advance a session by any number of steps, which are run in chunks while they are received.

    Each chunk is applied completely or not at all, and answered with a line. An error ends the answer; earlier chunks
    stay applied. With `commit=all` nothing is applied before the end of the body, and nothing at all if the session
    was changed meanwhile. A request with `position` can be repeated: steps that were applied before are skipped.
    """
    kind = body_type(request.headers.get("content-type", ""), *READERS)
    wanted = answer_type(request.headers, (lines.MEDIA_TYPE,))
    query = read_query(LongQuery, request)
    with of_query(LongQuery):
        sequence = await long_sequence.begin(
            services.sessions,
            session,
            query.identity(key),
            whole=query.commit == "all",
            chunk=query.chunk,
            reset=query.rows_to_reset,
            rows=query.choice,
        )
    reader = READERS[kind](sequence.size, request.app.state.max_body_bytes, query.choice, sequence.reader)
    return SequenceResponse(sequence, reader, query.outputs, wanted, request.app.state.sequences)
