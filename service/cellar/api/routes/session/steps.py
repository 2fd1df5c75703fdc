"""One step, and a sequence of steps. `step_dispatch.py` calls these routes without FastAPI's stack."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.decoding.step_fast_json import read_step
from cellar.api.decoding.step_input import Asked, as_json, pointing, sequence_of_json, sequence_of_npy, step_of_npy
from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.array_answers import POSITION, STEP_NUMBER, array_answer, array_body
from cellar.api.http.body import JSON, beside, body_type, read_beside, validated
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import REPLAYED, STEP, IdempotencyKey, SessionPath
from cellar.api.http.query_and_headers import deadline_s, read_query, refuse_query
from cellar.api.schemas.session.sessions import (
    SequenceAnswer,
    SequenceQuery,
    SequenceRequest,
    StepAnswer,
    StepQuery,
    StepRequest,
)
from cellar.sessions.values import results as runtime
from cellar.wire.arrays import npy
from cellar.wire.json.document import decode

router = APIRouter(prefix="/v1/sessions/{session}", tags=["steps"])

TYPES = (JSON, npy.MEDIA_TYPE)
"""Of bodies and of answers."""


@router.post(
    "/step",
    response_model=StepAnswer,
    responses={**answers(*STEP), **array_answer("(batch_size, out_size), or (out_size,)")},
    openapi_extra=array_body(StepRequest, StepQuery, "(batch_size, in_size), or (in_size,) where there is one row"),
)
async def step(session: SessionPath, request: Request, services: Parts, key: IdempotencyKey = None) -> Response:
    """Advance a session by one time step and return its output. Models that read from both ends have none.

    Without `position`, `step`, `writer` with `seq`, or Idempotency-Key it is appended, and a retry of a lost reply
    appends again.
    """
    wanted, within_s, body = answer_type(request.headers, TYPES), deadline_s(request), await request.body()
    if _is_npy(request):
        asked = await read_beside(len(body), step_of_npy, body, read_query(StepQuery, request), key)
    else:
        refuse_query(request)
        asked = await read_beside(len(body), read_step, body, key)
    with pointing(asked):
        answer = await services.sessions.step(
            session, asked.inputs[0], asked.identity, reset=asked.reset, deadline_s=within_s
        )
    return await _answer("output", wanted, asked, answer)


@router.post(
    "/sequence",
    response_model=SequenceAnswer,
    responses={**answers(*STEP), **array_answer("as the layout says, with out_size features")},
    openapi_extra=array_body(SequenceRequest, SequenceQuery, "(T, batch_size, in_size), or (T, in_size) of one row"),
)
async def sequence(session: SessionPath, request: Request, services: Parts, key: IdempotencyKey = None) -> Response:
    """Advance a session by several time steps, all or none, and return their outputs.

    The state after it is the same, bit for bit, as after the steps one by one.
    """
    wanted, within_s, body = answer_type(request.headers, TYPES), deadline_s(request), await request.body()
    if _is_npy(request):
        asked = await read_beside(len(body), sequence_of_npy, body, read_query(SequenceQuery, request), key)
    else:
        refuse_query(request)
        asked = await read_beside(len(body), _read_sequence, body, key)
    with pointing(asked):
        answer = await services.sessions.sequence(
            session, asked.inputs, asked.identity, reset=asked.reset, deadline_s=within_s
        )
    return await _answer("outputs", wanted, asked, answer)


def _read_sequence(body: bytes, key: str | None) -> Asked:
    return sequence_of_json(validated(SequenceRequest, decode(body)), key)


def _is_npy(request: Request) -> bool:
    return body_type(request.headers.get("content-type", ""), *TYPES) == npy.MEDIA_TYPE


async def _answer(name: str, wanted: str, asked: Asked, answer: runtime.StepAnswer) -> Response:
    """Return the outputs as the type that is wanted; outputs that are not known any more are null, in JSON."""
    headers = {REPLAYED: "true"} if answer.replayed else {}
    size = 0 if answer.outputs is None else answer.outputs.nbytes
    if answer.outputs is None or wanted == JSON:
        return Response(await beside(size, as_json, name, asked, answer), 200, headers, JSON)
    headers |= {POSITION: str(answer.position), STEP_NUMBER: str(answer.position.step)}
    content = await beside(size, npy.dump, asked.shaped(answer.outputs))
    return Response(content, 200, headers, npy.MEDIA_TYPE)
