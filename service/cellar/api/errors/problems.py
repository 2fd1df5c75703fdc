"""Errors as RFC 9457 problem documents: the table from error class to HTTP status, and the handlers of FastAPI."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cellar import errors
from cellar.api.errors.paths import nearest_path
from cellar.api.errors.validation_errors import invalid_request
from cellar.api.outcomes.middleware import NOTE
from cellar.api.outcomes.request_id import HEADER as REQUEST_ID
from cellar.metrics.counts import COUNTS

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_CHARACTERS = 10_000
"""Longest text in a problem document. A line of a cell with the caret below it may have 8,193 characters."""

ADVICE: dict[type[errors.CellarError], str] = {
    errors.DatasetUnknown: "GET /v1/datasets lists those that there are",
    errors.BacktestUnknown: "GET /v1/backtests lists those that there are",
    errors.JobUnknown: "GET /v1/jobs lists those that there are",
    errors.ModelUnknown: "GET /v1/models lists those that there are",
    errors.ReplayExpired: "CELLAR_REPLAY_WINDOW says how many can be",
    errors.SessionUnknown: "POST /v1/sessions creates one",
    errors.SnapshotsFull: "delete one, or raise CELLAR_MAX_SNAPSHOTS",
}
"""Advice for errors of lower packages, which do not know paths and settings. It is appended to their detail."""

URN = "urn:cellar:problem:"

STATUS: dict[type[errors.CellarError], int] = {
    errors.MalformedJson: 400,
    errors.MalformedBody: 400,
    errors.MalformedRequest: 400,
    errors.Unauthenticated: 401,
    errors.HostRefused: 403,
    errors.OriginRefused: 403,
    errors.ScopeMissing: 403,
    errors.NotFound: 404,
    errors.NotAcceptable: 406,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.InvalidInput: 422,
    errors.QuotaExceeded: 429,
    errors.HeadTooLarge: 431,
    errors.CellarError: 500,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}
"""Statuses by class. The nearest ancestor of an error counts; any other error is a fault of the service."""


def status_of(kind: type[errors.CellarError]) -> int:
    """Return the HTTP status of an error class."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


class Problem(Response):
    """A problem document as a response."""

    def __init__(self, document: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(as_text(document), document["status"], headers, MEDIA_TYPE)
        self.slug: str = document["type"].removeprefix(URN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and note which problem it is."""
        note = scope.get(NOTE)
        if note is not None:
            note.problem = self.slug
        await super().__call__(scope, receive, send)


def problem(
    status: int,
    slug: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
) -> Problem:
    """Return a problem document as a response, with the standard members alone, and count it."""
    COUNTS.refuse(slug)
    return Problem(_document(status, slug, title, detail, {}), headers)


def as_text(document: dict[str, Any]) -> bytes:
    """Return a problem document as JSON that ends with a newline, as every JSON answer does."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _document(status: int, slug: str, title: str, detail: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    members = {"detail": detail, **fields}
    cut = {name: _cut(value) if isinstance(value, str) else value for name, value in members.items()}
    return {"type": URN + slug, "title": title, "status": status, **cut}


def _cut(text: str) -> str:
    """Return a text that is cut to MOST_CHARACTERS: it may come from a request of megabytes."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def problem_of(error: errors.CellarError, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem document of an error of the tree, and count it."""
    COUNTS.refuse(error.slug)
    return response_of(error, headers)


def response_of(error: errors.CellarError, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem document of an error of the tree, and count nothing: it may answer several requests."""
    document = document_of(error)
    if isinstance(error, errors.Unauthenticated):
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    if isinstance(error, errors.Unavailable):
        headers = {"Retry-After": str(error.retry_after_s), **(headers or {})}
    return Problem(document, headers)


def document_of(error: errors.CellarError) -> dict[str, Any]:
    """Return the problem document of an error as an object."""
    status = status_of(type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s: %s", error.slug, error.detail, exc_info=error)
    advice = ADVICE.get(type(error))
    detail = error.detail if advice is None else f"{error.detail}; {advice}"
    return _document(status, error.slug, error.title, detail, error.fields())


def embedded(error: errors.CellarError) -> dict[str, Any]:
    """Return the problem document of an error that is one of many in a body, with `retry_after_s` for Retry-After."""
    document = document_of(error)
    return {**document, "retry_after_s": error.retry_after_s} if isinstance(error, errors.Unavailable) else document


EVERYWHERE: tuple[type[errors.CellarError], ...] = (
    errors.MalformedRequest,
    errors.Unauthenticated,
    errors.HostRefused,
    errors.OriginRefused,
    errors.ScopeMissing,
    errors.RequestTimeout,
    errors.InvalidParameter,
    errors.HeadTooLarge,
    errors.Overloaded,
    errors.QuotaExceeded,
)
"""Errors that every route may answer."""


def answers(*kinds: type[errors.CellarError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that may answer with these errors, described by their docstrings."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    lines = {500: ["- `internal_error`: A fault of the service."]}
    for kind in dict.fromkeys((*EVERYWHERE, *kinds)):
        lines.setdefault(status_of(kind), []).append(f"- `{kind.slug}`: {(kind.__doc__ or '').splitlines()[0]}")
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": "\n".join(lines[status]), "content": content} for status in sorted(lines)
    }
    for status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        retry_after = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        responses[status]["headers"] = {"Retry-After": retry_after}
    return responses


def install(app: FastAPI) -> None:
    """Answer every error of the application, also those of the framework, with a problem document."""
    app.add_exception_handler(errors.CellarError, _cellar_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _cellar_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.CellarError)
    return problem_of(error)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_of(invalid_request(error.errors(), error.body))


async def _http_exception(request: Request, error: Exception) -> Response:
    """Answer an error of the framework: an unknown path, or a method that the path does not have."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {_path_sent(request)}: {title.lower()}"
    headers = error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail += _path_hint(request)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods(request))  # the framework names those of one route only
        headers = {"Allow": allowed}
        detail += f"; this path takes {allowed}"
    return problem(error.status_code, title.lower().replace(" ", "_"), title, detail, headers=headers)


def _path_sent(request: Request) -> str:
    """Return the path of a request as it was sent, in percent-encoding."""
    raw: bytes | None = request.scope.get("raw_path")
    return request.url.path if raw is None else raw.decode("latin-1")


def _path_hint(request: Request) -> str:
    """Return a hint to the path that was probably meant, or to the list of all."""
    routes = iter_route_contexts(request.app.routes)
    templates = {route.path for route in routes if isinstance(route.original_route, APIRoute) and route.path}
    near = nearest_path(_path_sent(request), sorted(templates))
    return "; all paths are in /openapi.json" if near is None else f"; did you mean {near}?"


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes that have the request's path; where GET is, HEAD is too."""
    routes = [route for route in iter_route_contexts(request.app.routes) if isinstance(route.original_route, APIRoute)]
    there = [route for route in routes if route.path_regex.match(request.scope["path"])]
    methods = {method for route in there for method in route.methods or ()} or {"GET"}  # the pages have no methods
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


INTERNAL_SLUG = "internal_error"
INTERNAL = _document(500, INTERNAL_SLUG, "Internal error", "The service failed; the fault is in its log.", {})
"""The problem document of a fault of the service itself."""


def internal_error() -> Problem:
    """Return the problem document of a fault of the service, which is in its log, and count it."""
    COUNTS.refuse(INTERNAL_SLUG)
    return Problem(INTERNAL)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answer without internals. The server logs the traceback, because the framework raises the error again."""
    logger.error("%s in %s %s", type(error).__name__, request.method, _path_sent(request))
    answer, note = internal_error(), request.scope.get(NOTE)
    if note is not None:  # this is called outside of the middleware that adds it
        answer.headers[REQUEST_ID] = note.answered_id(answer.status_code)
    return answer
