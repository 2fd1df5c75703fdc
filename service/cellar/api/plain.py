"""The plain step: JSON in, JSON out, and nothing that asks for more. Most requests are one.

It is answered before FastAPI and the middleware, which take several times as long as the step itself. It is read,
checked and written by the same functions as every other step; what is not plainly one goes the ordinary way, to the
same answer.
"""

import logging
import re

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cellar.api.asked import as_json, pointing, step_of_json
from cellar.api.body import JSON, PROMPT_BYTES, validated
from cellar.api.coding import LEAST_BYTES, GzipAnswers
from cellar.api.problems import internal_error, problem_of
from cellar.api.routes.parameters import REPLAYED
from cellar.api.schemas.sessions import StepRequest
from cellar.api.services import TENANT, Services
from cellar.errors import CellarError
from cellar.ports import SessionKey
from cellar.wire.document import decode

logger = logging.getLogger(__name__)

PATH = re.compile(r"/v1/sessions/([A-Za-z0-9._-]{1,128})/step")

PLAIN_HEADERS = frozenset(
    (b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length", b"connection")
)
"""What HTTP clients send by themselves. Any other header may ask for something."""

ANYTHING = (b"*/*", JSON.encode())
"""What an Accept header says that is content with JSON."""


def plain_step(scope: Scope) -> str | None:
    """Return the session of a plain step, None of any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    path = PATH.fullmatch(scope["path"])
    if path is None:
        return None
    headers = dict(scope["headers"])
    if len(headers) != len(scope["headers"]) or not headers.keys() <= PLAIN_HEADERS:
        return None
    if headers.get(b"content-type") != JSON.encode() or headers.get(b"accept", b"*/*") not in ANYTHING:
        return None
    length = headers.get(b"content-length", b"")
    return path[1] if length.isdigit() and int(length) <= PROMPT_BYTES else None


async def answer_step(services: Services, session: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Take a plain step of a session, and answer it."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        return
    try:
        content, replayed = await _step(services, session, body)
    except CellarError as error:
        await problem_of(error)(scope, receive, send)
        return
    except Exception:
        logger.exception("in a step of session %s", session)
        await internal_error()(scope, receive, send)
        return
    if replayed or len(content) >= LEAST_BYTES:
        response = Response(content, 200, {REPLAYED: "true"} if replayed else None, JSON)
        await GzipAnswers(response)(scope, receive, send)
        return
    headers = [(b"content-length", b"%d" % len(content)), (b"content-type", JSON.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _step(services: Services, session: str, body: bytes) -> tuple[bytes, bool]:
    """Return the JSON that answers a step, and whether it is a replay."""
    asked = step_of_json(validated(StepRequest, decode(body)), None)
    try:
        key = SessionKey(TENANT, session)
        answer = await services.sessions.submit(
            key, "step", asked.inputs, asked.identity, reset=asked.reset, deadline_s=None
        )
    except CellarError as error:
        with pointing(asked):
            raise error
    return as_json("output", asked, answer), answer.replayed
