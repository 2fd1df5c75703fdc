"""The routes for one step and for a sequence. `step_dispatch.py` calls them without FastAPI's stack."""

from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.decoding.steps.step_body import TYPES, decoder_of, query_of
from cellar.api.decoding.steps.step_input import pointing
from cellar.api.decoding.steps.step_output import as_json, laid_out
from cellar.api.dependencies import Parts, Services
from cellar.api.errors.problems import answers
from cellar.api.errors.step_counts import count_error, count_result
from cellar.api.http.body import JSON, body_type, decode_in_thread, encode_in_thread, end_decoding
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import (
    POSITION,
    RAN_ON,
    REPLAYED,
    STEP,
    STEP_NUMBER,
    IdempotencyKey,
    SessionPath,
    array_answer,
    array_body,
)
from cellar.api.http.query_and_headers import deadline_s
from cellar.api.schemas.session.steps import (
    SequenceAnswer,
    SequenceQuery,
    SequenceRequest,
    StepAnswer,
    StepQuery,
    StepRequest,
)
from cellar.metrics.counts import COUNTS
from cellar.metrics.traces import TRACES
from cellar.ports import SessionKey, StepResult
from cellar.wire.arrays import npy

HTTP_JSON, HTTP_NPY = COUNTS.transports["http_json"], COUNTS.transports["http_npy"]

router = APIRouter(prefix="/v1/sessions/{session}", tags=["steps"])


@router.post(
    "/step",
    response_model=StepAnswer,
    responses={**answers(*STEP), **array_answer("(batch_size, out_size), or (out_size,)")},
    openapi_extra=array_body(StepRequest, StepQuery, "(batch_size, in_size), or (in_size,) where there is one row"),
)
async def step(session: SessionPath, request: Request, services: Parts, key: IdempotencyKey = None) -> Response:
    """Advance a session by one time step and return its output. Models that read from both ends have none.

    Without `position`, `step`, `writer` with `seq`, or Idempotency-Key it is appended, and a retry after a lost answer
    is appended again.
    """
    return await _run("step", session, request, services, key)


@router.post(
    "/sequence",
    response_model=SequenceAnswer,
    responses={**answers(*STEP), **array_answer("as the layout says, with out_size features")},
    openapi_extra=array_body(SequenceRequest, SequenceQuery, "(T, batch_size, in_size), or (T, in_size) of one row"),
)
async def sequence(session: SessionPath, request: Request, services: Parts, key: IdempotencyKey = None) -> Response:
    """Advance a session by several time steps, all or none, and return their outputs.

    The state afterwards is the same, bit for bit, as after single steps.
    """
    return await _run("sequence", session, request, services, key)


async def _run(
    kind: Literal["step", "sequence"], session: SessionKey, request: Request, services: Services, key: str | None
) -> Response:
    counts = HTTP_JSON
    try:
        wanted = answer_type(request.headers, TYPES)
        counts = HTTP_JSON if wanted == JSON else HTTP_NPY
        result = await _result(kind, session, request, services, key)
    except Exception as error:
        count_error(counts, error)
        raise
    count_result(counts, result)
    return await _answer(wanted, result)


async def _result(
    kind: Literal["step", "sequence"], session: SessionKey, request: Request, services: Services, key: str | None
) -> StepResult:
    within_s, body = deadline_s(request), await request.body()
    media_type = body_type(request.headers.get("content-type", ""), *TYPES)
    query = query_of(kind, media_type, request)
    command = await decode_in_thread(len(body), decoder_of(kind, media_type, query), body, session, key, within_s)
    end_decoding(request, len(body))
    if TRACES.record is not None:
        command.traceparent = request.headers.get("traceparent")
    with pointing(command):
        return await services.sessions.steps.submit(command)


async def _answer(wanted: str, result: StepResult) -> Response:
    """Return the outputs as the wanted type, or null in JSON if they were not kept."""
    headers = {REPLAYED: "true"} if result.replayed else {}
    outputs, size = result.outputs, len(result.output or b"")
    if outputs is None or wanted == JSON:
        return Response(await encode_in_thread(size, as_json, result), 200, headers, JSON)
    headers |= {POSITION: str(result.position), STEP_NUMBER: str(result.position.step)}
    if result.model is not None:
        headers[RAN_ON] = result.model
    content = await encode_in_thread(size, npy.dump, laid_out(outputs, result.command.layout))
    return Response(content, 200, headers, npy.MEDIA_TYPE)
