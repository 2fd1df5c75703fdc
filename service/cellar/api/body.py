"""Request bodies: how large, of which type, and decoded by one strict JSON reader."""

import json
import math
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.faults import invalid_body, pointer_of
from cellar.api.problems import problem_of
from cellar.errors import BodyTooLarge, MalformedJson, NotFinite, UnsupportedMediaType

Model = TypeVar("Model", bound=BaseModel)


class BodyLimit:
    """Refuse bodies over the limit: by their announced length, else as soon as the stream passes it."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            return await problem_of(self._too_large(f"{announced} bytes"))(scope, receive, send)
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise self._too_large("more")
            return message

        return await self._app(scope, counting, send)

    def _too_large(self, actual: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body may have {self._limit} bytes, this one has {actual}")


async def read_json(request: Request) -> Any:
    """Return the decoded body. Raise MalformedJson, NotFinite, UnsupportedMediaType or BodyTooLarge."""
    body = await request.body()
    require_json(request.headers.get("content-type", ""))
    return decode(body)


def validated(kind: type[Model], document: Any) -> Model:
    """Return decoded JSON as a model. Raise InvalidInput with a pointer to what does not fit."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False), document) from None


def require_json(content_type: str) -> None:
    """Raise UnsupportedMediaType unless the type is JSON.

    A missing type is refused too: a browser sends such requests to any address without asking (no preflight).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType(f"expected Content-Type: application/json, got {kind or 'none'}")


def decode(body: bytes) -> Any:
    """Return decoded JSON: UTF-8, finite doubles only, at most 1024 levels deep.

    Raise NotFinite with a pointer where NaN, Infinity or a number beyond float64 stands, else MalformedJson.

    >>> decode(b'{"input": [1, 2.5]}')
    {'input': [1, 2.5]}
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body or "infinity" in error.msg:
            _raise_not_finite(body)
        raise MalformedJson(
            f"line {error.lineno} column {error.colno}: {error.msg}",
            line=error.lineno,
            column=error.colno,
            offset=error.pos,
        ) from None


class JsonRoute(APIRoute):
    """An ordinary FastAPI route whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler behind our reader, so that our errors pass as they are."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        required = self.body_field.field_info.is_required()

        async def read_and_handle(request: Request) -> Response:
            decoded = _DecodedRequest(request.scope, request.receive)
            if required or await decoded.body():
                decoded.document = await read_json(decoded)
            return await handle(decoded)

        return read_and_handle


class _DecodedRequest(Request):
    document: Any = None

    async def json(self) -> Any:
        return self.document


@dataclass(frozen=True, slots=True)
class _Foreign:
    """A number that JSON or float64 does not have, as it was written."""

    text: str


def _number(text: str) -> float | _Foreign:
    value = float(text)
    return value if math.isfinite(value) else _Foreign(text)


def _raise_not_finite(body: bytes) -> None:
    """Read again with the lenient reader of the standard library, to say where the first such number stands."""
    try:
        document = json.loads(body, parse_constant=_Foreign, parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError):
        return
    for path, value in _leaves(document):
        if isinstance(value, _Foreign):
            pointer = pointer_of(path)
            actual = value.text if len(value.text) < 30 else f"a number of {len(value.text)} digits"
            detail = f"{pointer or 'body'}: {actual} is not a finite number"
            raise NotFinite(detail, pointer=pointer, expected="a finite number", actual=actual)


def _leaves(document: Any) -> Iterator[tuple[list[str | int], Any]]:
    """Yield every leaf with its path, in document order, without recursion."""
    path: list[str | int] = []
    stack = [_members([document])]
    while stack:
        for part, value in stack[-1]:
            if isinstance(value, dict | list):
                path.append(part)
                stack.append(_members(value))
                break
            yield [*path, part][1:], value
        else:
            stack.pop()
            del path[-1:]


def _members(container: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    return iter(container.items()) if isinstance(container, dict) else enumerate(container)
