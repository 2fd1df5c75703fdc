"""Request bodies: checks their size and media type, and decodes long ones on a thread."""

import re
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, TypeVar, cast

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.errors.validation_errors import SHOWN, invalid_body
from cellar.errors import BodyTooLarge, CellarError, UnsupportedMediaType
from cellar.memory.request_memory import DECODED_TIMES, SMALL_BYTES, RequestMemory, Reservation, json_bytes
from cellar.wire.json.document import SHORT_BYTES, decode

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")

JSON = "application/json"

BYTES = {"schema": {"type": "string", "format": "binary"}}
"""The OpenAPI schema of a body that is not JSON."""


def bytes_of(description: str) -> dict[str, Any]:
    """Return the OpenAPI schema of a body that is not JSON, with a description."""
    return {"schema": {**BYTES["schema"], "description": description}}


PROMPT_BYTES = SHORT_BYTES
"""Bodies and answers up to this size are read and written at once, in under a millisecond. Larger ones are left to a
thread: one of many megabytes would delay all other requests, by seconds if it has a fault whose place is searched."""


READERS = 2
"""Bodies that are decoded on threads at a time. Each takes memory, and competes with the event loop for CPU time."""

_readers: RunVar[CapacityLimiter] = RunVar("readers")


STREAMS = re.compile(r"/v1/steps|/v1/sessions/[^/]+/sequence/stream")
"""Paths whose bodies may be of any length, because they are read part by part."""


HELD = "cellar.held"
"""The key of a scope for the reservation of the body."""


UPLOADS = re.compile(r"/v1/models(?:/[^/]+)?|/v1/datasets")
"""Paths whose bodies, if they are no JSON, are written to the disk as they come; their routes limit them."""


def is_upload(scope: Scope) -> bool:
    """Return whether the body of a request is a file that its route writes to the disk."""
    if not UPLOADS.fullmatch(scope["path"]) or scope["method"] not in ("POST", "PUT"):
        return False
    return not is_json(scope)


def is_json(scope: Scope) -> bool:
    """Return whether the body of a request is JSON."""
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return kind == JSON or kind.endswith("+json")


class BodyLimit:
    """Refuses bodies over the limit: by their Content-Length, or else as soon as more has been received.

    Bodies of STREAMS may be of any length: their routes read them part by part, and limit each part.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, memory: RequestMemory) -> None:
        self._app = app
        self._limit = max_body_bytes
        self._memory = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if STREAMS.fullmatch(scope["path"]) or is_upload(scope):
            with suppress(ClientDisconnect):
                await self._app(scope, receive, send)
            return None
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            return await problem_of(too_large(self._limit, f"{announced} bytes"))(scope, receive, send)
        encoded = any(name == b"content-encoding" for name, _ in scope["headers"])
        held = scope[HELD] = self._memory.reservation()
        try:
            with suppress(ClientDisconnect):  # in the middle of a body: there is no client to answer
                await self._app(scope, WholeBody(scope, receive, held, self._limit, gathers=not encoded), send)
        finally:
            held.release()
        return None


class WholeBody:
    """A `receive` that returns a body of up to `limit` bytes in one message, when there is memory to decode it.

    The parts are written to one buffer, which the operating system enlarges without a copy. As a list of parts and
    joined they would take twice the memory, and leave the heap full of holes. An encoded body is returned part by part.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        held: Reservation,
        limit: int,
        actual: str = "more",
        *,
        gathers: bool = True,
    ) -> None:
        self._receive = receive
        self._held = held
        self._limit = limit
        self._actual = actual
        """The size of a body that is too large, in words."""
        self._gathers = gathers
        self._is_json = is_json(scope)
        self._size = self._commas = 0

    async def __call__(self) -> Message:
        """Receive the body, or what follows it. Raise BodyTooLarge or Overloaded."""
        parts: BytesIO | None = None
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            part, more = message.get("body", b""), message.get("more_body", False)
            self._size = size = self._size + len(part)
            if size > self._limit:
                raise too_large(self._limit, self._actual)
            self._held.resize(size)
            if not self._gathers:
                return message
            if parts is None and more:
                parts = BytesIO()
            if parts is not None:
                parts.write(part)
            if self._is_json:
                self._commas += part.count(b",")
            if not more:
                if size > SMALL_BYTES:
                    wanted = json_bytes(size, self._commas) if self._is_json else DECODED_TIMES * size
                    await self._held.grow(wanted)
                return message if parts is None else {**message, "body": parts.getvalue()}


def end_decoding(request: Request, size: int) -> None:
    """Free the memory that decoding has taken besides a body of `size` bytes. The result is counted from here on."""
    held: Reservation | None = request.scope.get(HELD)
    if held is not None and held.size > size:
        held.resize(size)


def too_large(limit: int, actual: str) -> BodyTooLarge:
    """Return the error of a body that is too large."""
    return BodyTooLarge(f"the body may have {limit} bytes (CELLAR_MAX_BODY_BYTES), this one has {actual}")


async def read_model(kind: type[Model], body: bytes) -> Model:
    """Return a JSON body as a model. Raise as `cellar.wire.json.document.decode`, or InvalidInput."""
    return await decode_in_thread(len(body), lambda: validated(kind, decode(body)))


async def decode_in_thread(size: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """Return the result of `work` on a body of `size` bytes. A long one is read by one of `READERS` threads."""
    return work(*arguments) if size <= PROMPT_BYTES else await run_in_reader_thread(work, *arguments)


async def run_in_reader_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Return the result of `work`, done by one of `READERS` threads. Raise the CellarError that it raises."""
    try:
        readers = _readers.get()
    except LookupError:
        readers = CapacityLimiter(READERS)
        _readers.set(readers)
    result, error = await run_sync(_attempt, work, *arguments, limiter=readers)
    if error is None:
        return cast(Result, result)
    try:
        raise error
    finally:
        del arguments, error, work


def _attempt(work: Callable[..., Result], *arguments: Any) -> tuple[Result | None, CellarError | None]:
    """Return the result of `work`, or the error that it raises without its traceback.

    The frames of a traceback hold the body, and a future with an exception forms a reference cycle with them: the body
    would stay in memory until the next garbage collection.
    """
    try:
        return work(*arguments), None
    except CellarError as error:
        error.__context__ = error.__cause__ = None
        return None, error.with_traceback(None)


async def encode_in_thread(size: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """Return the result of `work`, which writes `size` bytes: a thread does it if they are many."""
    return work(*arguments) if size <= PROMPT_BYTES else await run_sync(work, *arguments)


def validated(kind: type[Model], document: Any) -> Model:
    """Return decoded JSON as a model. Raise InvalidInput with a pointer to the fault."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False), document, kind) from None


def body_of(kind: type[BaseModel], *others: str) -> dict[str, Any]:
    """Return the OpenAPI request body of a route that reads it itself: JSON of that model, or other types of bytes."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
    return {"required": True, "content": content | dict.fromkeys(others, BYTES)}


def body_type(content_type: str, *known: str) -> str:
    """Return the known type that a Content-Type names. Raise UnsupportedMediaType for any other.

    A missing type is refused too: a browser sends such requests to any address without a preflight request.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in known:
        return kind
    if JSON in known and kind.startswith("application/") and kind.endswith("+json"):
        return JSON
    hint = f"; send the header, as curl does with -H 'Content-Type: {known[0]}'"
    raise UnsupportedMediaType(f"expected Content-Type: {' or '.join(known)}, got {kind[:SHOWN] or 'none'}{hint}")
