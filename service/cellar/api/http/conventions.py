"""Middleware for all routes: a slash at the end of a path, HEAD requests, and a newline at the end of JSON."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.http.body import JSON

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


class EndingSlashes:
    """Serves `/v1/models/` as `/v1/models`, without a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without the slash at the end of its path."""
        if scope["type"] == "http":
            path = without_ending_slash(scope["path"])
            if path != scope["path"]:
                raw: bytes = scope.get("raw_path") or scope["path"].encode()
                scope = {**scope, "path": path, "raw_path": raw.removesuffix(b"/")}
        await self._app(scope, receive, send)


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
