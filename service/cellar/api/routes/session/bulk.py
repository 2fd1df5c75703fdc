"""The route for steps of many sessions in one request."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.bulk.replies import AnswerWriter, FrameAnswers, LineAnswers
from cellar.api.bulk.requests import FrameReader, LineReader, Reader
from cellar.api.bulk.response import BulkResponse
from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import body_type, bytes_of
from cellar.api.http.negotiation import answer_type
from cellar.api.routes.json_route import JsonRoute
from cellar.errors import BodyTooLarge, MalformedBody, NotAcceptable, UnsupportedMediaType
from cellar.wire.frames import frames
from cellar.wire.json import lines

router = APIRouter(tags=["steps"], route_class=JsonRoute)

READERS: dict[str, Callable[..., Reader]] = {
    lines.MEDIA_TYPE: LineReader,
    frames.MEDIA_TYPE: FrameReader,
}
WRITERS: dict[str, Callable[[], AnswerWriter]] = {lines.MEDIA_TYPE: LineAnswers, frames.MEDIA_TYPE: FrameAnswers}

LINE = [{"$ref": f"#/components/schemas/{name}"} for name in ("StepLine", "SequenceLine")]
ANSWER = [{"$ref": f"#/components/schemas/{name}"} for name in ("StepAnswer", "SequenceAnswer", "Problem")]


def _content(line: list[dict[str, str]], frame: str) -> dict[str, Any]:
    # x-itemSchema: OpenAPI 3.1 cannot describe the documents of a stream
    return {
        lines.MEDIA_TYPE: {"schema": {"type": "string"}, "x-itemSchema": {"anyOf": line}},
        frames.MEDIA_TYPE: bytes_of(f"Frames of {frame}: see docs/reference/frames.md."),
    }


@router.post(
    "/v1/steps",
    response_class=Response,
    responses={
        **answers(BodyTooLarge, MalformedBody, NotAcceptable, UnsupportedMediaType),
        200: {"description": "An answer for each, in their order.", "content": _content(ANSWER, "answers")},
    },
    openapi_extra={"requestBody": {"required": True, "content": _content(LINE, "steps")}},
)
async def step_many(request: Request, caller: CallerOf, services: Parts) -> Response:
    """Advance many sessions, each by a step or a sequence that succeeds or fails by itself.

    Each line, or record of a frame, is answered by a line or a record: the outputs, or a problem document. Answers are
    in the order of the steps, and are sent while the request is still being received. The request may have any length;
    a line or a frame has the limit of other bodies. A client that sends all of it before it reads may send 2,048 steps
    and 4 MiB.
    """
    kinds = tuple(READERS)
    kind = body_type(request.headers.get("content-type", ""), *kinds)
    wanted = answer_type(request.headers, (kind, *(other for other in kinds if other != kind)))
    reader = READERS[kind](caller, request.app.state.max_body_bytes, services.sessions.memory)
    return BulkResponse(services.sessions.steps, reader, WRITERS[wanted](), wanted)
