"""A FastAPI route with a strict JSON reader, which also refuses query parameters that the route does not declare."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.errors.validation_errors import invalid_body, invalid_request
from cellar.api.http.body import JSON, PROMPT_BYTES, body_type, decode_in_thread
from cellar.api.http.query_and_headers import check_query
from cellar.wire.json.document import decode

Result = TypeVar("Result")


class JsonRoute(APIRoute):
    """An ordinary FastAPI route, except that `read_json` reads its body and unknown query parameters are refused."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, called after our reader, whose errors it does not see."""
        handle, known = self._body_handler(), self._known_parameters()

        async def check_and_handle(request: Request) -> Response:
            """Check the names of query parameters, then handle the request."""
            if request.scope["query_string"]:
                check_query(request, known)
            return await handle(request)

        return check_and_handle

    def _known_parameters(self) -> frozenset[str]:
        """Return the names of the query parameters that the route declares."""
        declared = [field.alias for field in self.dependant.query_params]
        besides = [one["name"] for one in (self.openapi_extra or {}).get("parameters", ()) if one["in"] == "query"]
        return frozenset((*declared, *besides))

    def _body_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        required = self.body_field.field_info.is_required()
        annotation: Any = self.body_field.field_info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)

        async def read_and_handle(request: Request) -> Response:
            """Decode the body, validate a long one on a thread, then handle the request."""
            decoded = _DecodedRequest(request.scope, request.receive)
            if required or await decoded.body():
                decoded.document = await read_json(decoded)
                size = len(await decoded.body())
                if size > PROMPT_BYTES:  # the framework would validate on the event loop; it accepts validated values
                    decoded.document = await decode_in_thread(size, validated_as, annotation, adapter, decoded.document)
            try:
                return await handle(decoded)
            except RequestValidationError as error:
                raise invalid_request(error.errors(), error.body, annotation) from None

        return read_and_handle


class _DecodedRequest(Request):
    document: Any = None

    async def json(self) -> Any:
        """Return the decoded document."""
        return self.document


async def read_json(request: Request) -> Any:
    """Return the decoded body. Raise BodyTooLarge, UnsupportedMediaType, or as `cellar.wire.json.document.decode`."""
    body = await request.body()
    body_type(request.headers.get("content-type", ""), JSON)
    return await decode_in_thread(len(body), decode, body)


def validated_as(kind: Any, adapter: TypeAdapter[Result], document: Any) -> Result:
    """Return decoded JSON as the type that a route takes. Raise InvalidInput with a pointer to the fault."""
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False), document, kind) from None
