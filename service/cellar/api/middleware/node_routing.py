"""Tells clients which service of a fleet owns a session, and redirects those that want it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.http.path_segments import name_in_target
from cellar.sessions.forwarding.ownership import bucket_of, owners_of

ROUTE, OWNER = "Cellar-Route", "Cellar-Owner"
"""The header with which a request asks for it, and the header of its answer."""

REDIRECT = "redirect"
"""The value of `Cellar-Route` that asks for a redirect. With any other value the answer only names the owner."""

_SESSION = re.compile(r"/v1/sessions/([^/?]+)")


class Nodes(NamedTuple):
    """The services on one Redis."""

    urls: Sequence[str]
    """The URLs of all, in any order."""
    own: str
    """The URL of this one."""


class NodeRouting:
    """Adds `Cellar-Owner` to answers of requests with `Cellar-Route`, whose path names a session.

    All services of a fleet find the same owner. Only clients that ask for it go another way than without this class.
    """

    def __init__(self, app: ASGIApp, *, nodes: Nodes) -> None:
        self._app = app
        self._nodes = tuple(sorted(nodes.urls))
        self._own = nodes.own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 307 if another service owns the session and the client wants that."""
        wanted = Headers(scope=scope).get(ROUTE) if scope["type"] == "http" else None
        target = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1") if wanted is not None else ""
        found = _SESSION.match(target)
        session = None if found is None else name_in_target(found[1])
        if session is None:
            return await self._app(scope, receive, send)
        owner = self._nodes[owners_of(self._nodes)[bucket_of(session)]]
        if wanted == REDIRECT and owner != self._own:
            query = scope["query_string"].decode("latin-1")
            location = owner + target + (f"?{query}" if query else "")
            return await Response(status_code=307, headers={"Location": location, OWNER: owner})(scope, receive, send)

        async def send_with_owner(message: Message) -> None:
            """Add the header to the answer."""
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[OWNER] = owner
            await send(message)

        return await self._app(scope, receive, send_with_owner)
