"""The table of direct routes: those whose requests are small and many, and are served without ASGI.

The framework takes ten times longer to find such a route and to solve its parameters than the endpoint takes. So the
parameters are decoded by a plan that is made once from the framework's own description of the route: the same endpoint,
the same validators. A request with a query, with a header that the route declares, or with a fault is left to the
framework, which answers it.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from cellar.api.dependencies import CallerOf, Parts, caller_of, services_of
from cellar.api.fast_http.direct_cycle import Bind, Call, DirectRoute, DirectRoutes, target_of
from cellar.api.http.body import JSON, body_type
from cellar.api.http.parameters import SessionPath
from cellar.api.routes.session import bulk, sessions, state
from cellar.errors import CellarError
from cellar.ports import SessionKey
from cellar.wire.json.document import decode

ENDPOINTS: tuple[tuple[Any, Callable[..., Any]], ...] = (
    (sessions.router, sessions.create_session),
    (sessions.router, sessions.read_session),
    (state.router, state.read_state),
    (bulk.router, bulk.step_many),
)

Resolve = Callable[[Request, str], Any]
"""Returns the value of a parameter, from the request and the session in its path."""


def _dependency(annotated: Any) -> Any:
    """Return the function of `Annotated[..., Depends(function)]`."""
    return annotated.__metadata__[0].dependency


RESOLVERS: dict[Any, Resolve] = {
    _dependency(Parts): lambda request, _: services_of(request),
    _dependency(CallerOf): lambda request, _: caller_of(request),
    _dependency(SessionPath): lambda request, session: SessionKey(caller_of(request).tenant, session),
}
"""The values of the dependencies of direct routes."""


def direct_routes(app: Any) -> DirectRoutes:
    """Return the table for an application."""
    return DirectRoutes([_compiled(router, endpoint) for router, endpoint in ENDPOINTS], app)


def _compiled(router: Any, endpoint: Callable[..., Any]) -> DirectRoute:
    (route,) = [each for each in router.routes if isinstance(each, APIRoute) and each.endpoint is endpoint]
    method = "".join(route.methods or ())
    return DirectRoute(method.encode(), target_of(route.path), _binder(route), route.path)


def _binder(route: APIRoute) -> Bind:
    """Return the function that decodes the parameters of a route. Raise KeyError for a dependency not in the table."""
    declared = route.dependant
    resolvers = {str(each.name): RESOLVERS[each.call] for each in declared.dependencies}
    if declared.request_param_name:
        resolvers[declared.request_param_name] = lambda request, _: request
    headers = [field.alias for field in declared.header_params]
    fixed = {field.name: field.get_default() for field in (*declared.query_params, *declared.header_params)}
    body_name, adapter = _body_of(route)
    run = _runner(route)

    def bind(request: Request, session: str, body: bytes) -> Call | None:
        """Decode the parameters."""
        if headers and any(name in request.headers for name in headers):
            return None
        values = {name: resolve(request, session) for name, resolve in resolvers.items()} | fixed
        if adapter is not None:
            try:
                body_type(request.headers.get("content-type", ""), JSON)
                values[body_name] = adapter.validate_python(decode(body))
            except (CellarError, ValidationError):
                return None
        return partial(run, values)

    return bind


def _runner(route: APIRoute) -> Callable[[dict[str, Any]], Awaitable[Response]]:
    """Return the function that calls the endpoint; its result becomes a JSON answer, as the framework makes it."""
    endpoint, status = route.endpoint, route.status_code or 200
    assert route.dependant.response_param_name is None, f"{route.path}: a direct route returns its own response"
    result_type: Any = None if route.response_field is None else route.response_field.field_info.annotation
    write = TypeAdapter(result_type).dump_json

    async def run(values: dict[str, Any]) -> Response:
        """Return the answer of the endpoint to these arguments."""
        result = await endpoint(**values)
        return result if isinstance(result, Response) else Response(write(result), status, media_type=JSON)

    return run


def _body_of(route: APIRoute) -> tuple[str, TypeAdapter[Any] | None]:
    if route.body_field is None:
        return "", None
    (field,) = route.dependant.body_params
    annotation: Any = field.field_info.annotation
    return field.name, TypeAdapter(annotation)
