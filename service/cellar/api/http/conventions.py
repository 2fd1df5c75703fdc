"""What every route keeps to without knowing it: a slash at the end of a path, HEAD, a newline at the end of JSON."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.http.body import JSON

DOCS = "/docs"
"""Pages, whose slash at the end is part of their names."""


def to_docs(_: Request) -> Response:
    """Send on to the pages by a relative address: nobody knows by which scheme and host they are reached."""
    return Response(status_code=307, headers={"Location": DOCS.removeprefix("/") + "/"})


def without_ending_slash(path: str) -> str:
    """Return the path that routes have. Pages have names that end in a slash.

    >>> without_ending_slash("/v1/models/"), without_ending_slash("/"), without_ending_slash("/docs/")
    ('/v1/models', '/', '/docs/')
    """
    ends = len(path) > 1 and path.endswith("/") and not path.startswith(DOCS + "/")
    return path[:-1] if ends else path


class EndingSlashes:
    """Take `/v1/models/` for `/v1/models`, without sending the client there and back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the path that routes have."""
        if scope["type"] == "http":
            path = without_ending_slash(scope["path"])
            if path != scope["path"]:
                raw: bytes = scope.get("raw_path") or scope["path"].encode()
                scope = {**scope, "path": path, "raw_path": raw.removesuffix(b"/")}
        await self._app(scope, receive, send)


class HeadRequests:
    """Answer HEAD as GET, without the body. What would be sent without end is not begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)
        sent = False

        async def head_alone(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                await send(message)
            elif not sent:
                sent = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        return await self._app({**scope, "method": "GET"}, receive, head_alone)


class EndingNewlines:
    """End every JSON answer with a newline, for whoever reads it in a terminal. Problem documents have theirs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that adds it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        adds = False

        async def ended(message: Message) -> None:
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
