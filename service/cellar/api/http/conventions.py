"""Middleware for all routes: paths as routes match them, HEAD requests, and a newline at the end of JSON."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.http.body import JSON
from cellar.api.http.path_segments import routed_path
from cellar.errors import MalformedRequest

DOCS = "/docs"
"""The path of the pages, which have a slash at the end of their names."""


def to_docs(_: Request) -> Response:
    """Redirect to the pages by a relative address, because scheme and host may be those of a proxy."""
    return Response(status_code=307, headers={"Location": DOCS.removeprefix("/") + "/"})


def without_ending_slash(path: str) -> str:
    """Return a path without the slash at its end, as routes have it. Names of pages may end in a slash.

    >>> without_ending_slash("/v1/models/"), without_ending_slash("/"), without_ending_slash("/docs/")
    ('/v1/models', '/', '/docs/')
    """
    ends = len(path) > 1 and path.endswith("/") and not path.startswith(DOCS + "/")
    return path[:-1] if ends else path


def path_of(scope: Scope) -> str:
    """Return the path of a request as routes match it. Raise MalformedRequest if it is not percent-encoded UTF-8."""
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"] if raw is None or b"%" not in raw else routed_path(raw.decode("latin-1"))
    return without_ending_slash(path)


class RoutedPaths:
    """Gives each route the path that it matches: an encoded slash stays inside its segment (see `path_segments.py`).

    `/v1/models/` is served as `/v1/models`, without a redirect.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with such a path, or answer 400."""
        if scope["type"] == "http":
            try:
                path = path_of(scope)
            except MalformedRequest as error:
                return await problem_of(error)(scope, receive, send)
            if path != scope["path"]:
                raw: bytes = scope.get("raw_path") or scope["path"].encode()
                scope = {**scope, "path": path, "raw_path": raw if path.endswith("/") else raw.removesuffix(b"/")}
        return await self._app(scope, receive, send)


class HeadRequests:
    """Answers HEAD as GET, without the body. An answer without end is ended after its head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)
        sent = False

        async def head_alone(message: Message) -> None:
            """Send the head of the answer and an empty body."""
            nonlocal sent
            if message["type"] == "http.response.start":
                await send(message)
            elif not sent:
                sent = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        return await self._app({**scope, "method": "GET"}, receive, head_alone)


class EndingNewlines:
    """Ends every JSON answer with a newline, to be readable in a terminal. Problem documents have it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that adds the newline."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        adds = False

        async def ended(message: Message) -> None:
            """Send a message; the last part of a JSON body gets a newline."""
            nonlocal adds
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                adds = headers.get("content-type") == JSON and "content-length" in headers
                if adds:
                    headers["content-length"] = str(int(headers["content-length"]) + 1)
                    message = {**message, "headers": headers.raw}
            elif adds and not message.get("more_body", False):
                message = {**message, "body": message.get("body", b"") + b"\n"}
            await send(message)

        return await self._app(scope, receive, ended)
