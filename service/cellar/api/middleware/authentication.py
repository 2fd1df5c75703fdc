"""Authentication: who sends a request, by its API key, and whether the key has the scope that the request needs."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.outcomes.middleware import CALLER
from cellar.errors import CellarError, ScopeMissing, Unauthenticated
from cellar.ports import ANYBODY, Caller
from cellar.ports import Scope as KeyScope

SUBPROTOCOL = "cellar"
"""The WebSocket subprotocol that is chosen if a client offers it, as one does that sends its key as another."""

KEY_SUBPROTOCOL = "cellar.key."
"""Begins a subprotocol that is an API key: browsers let pages set no other header of a WebSocket."""

TICKET = "ticket"
"""The query parameter with a ticket, of WebSockets and event streams."""

MISSING = "the request has no API key: send the header `Authorization: Bearer cellar_...`"

ENDED = "the API key or token has ended, or was revoked, before the request was answered"

PUBLIC = re.compile(r"/(healthz|readyz|openapi\.json|docs(/.*)?|page/.*)?")
"""Paths that need no key. They tell nothing about a tenant."""

TICKETED = re.compile(r"/v1/(sessions/[^/]+/(events|sequence/stream)|(jobs|sweeps)/[^/]+/events)")
"""Paths that take a ticket in place of a key."""

LONG = re.compile(rf"{TICKETED.pattern}|/v1/(steps|datasets(/[^/]+/export)?|models(/[^/]+(/weights|/export)?)?)")
"""Paths of requests that may take long, because their bodies or answers may have any length, or are large files. They
end when the key ends; all others end soon."""

READING = ("GET", "HEAD", "OPTIONS")

SCOPE_OF: tuple[tuple[re.Pattern[str], KeyScope, KeyScope], ...] = (
    (re.compile(r"/v1/keys(/.*)?"), "admin", "admin"),
    (re.compile(r"/v1/(tickets|stats|limits)"), "read", "read"),
    (re.compile(r"/metrics"), "metrics", "metrics"),
    (re.compile(r"/v1/(models|cells|datasets|jobs|sweeps|backtests)(/.*)?"), "read", "train"),
    (re.compile(r"/v1/sessions/[^/]+/learning/publish"), "train", "train"),
    (re.compile(r"/v1/(sessions|deletions|steps|stream)(/.*)?"), "read", "step"),
)
"""The scopes of paths: for reading, and for everything else. A test holds them against the routes."""

STREAM_SCOPE: KeyScope = "step"
"""The scope of a WebSocket."""


class Credentials(Protocol):
    """Tells who shows an API key, a token or a ticket."""

    revision: int
    """Changes whenever a caller that was returned before may have lost its rights."""

    def caller(self, text: str) -> Caller:
        """Return the caller with a key or a token. Raise Unauthenticated."""
        ...

    def caller_of_ticket(self, text: str) -> Caller:
        """Return the caller that a ticket stands for. Raise Unauthenticated."""
        ...

    def holds(self, caller: Caller) -> bool:
        """Return whether the credentials of a caller that was returned before are still valid."""
        ...

    def watch(self, caller: Caller) -> AbstractContextManager["asyncio.Future[None]"]:
        """Return a future that has a result as soon as the credentials of the caller have ended."""
        ...


class NoCredentials:
    """The credentials of a service without keys: every request is that of the one tenant."""

    revision = 0

    def caller(self, text: str) -> Caller:  # noqa: ARG002  # without keys the header means nothing
        """Return the one caller."""
        return ANYBODY

    caller_of_ticket = caller

    def holds(self, caller: Caller) -> bool:  # noqa: ARG002  # there are no credentials that could end
        """Return true."""
        return True

    # the parameter of the protocol
    def watch(self, caller: Caller) -> AbstractContextManager["asyncio.Future[None]"]:  # noqa: ARG002
        """Return a future that never has a result."""
        return nullcontext(asyncio.get_running_loop().create_future())


class Authenticator:
    """Finds the credentials in the headers and the query of a request."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.credentials: Credentials = credentials or NoCredentials()
        self.needs_key = credentials is not None

    def caller(self, headers: Iterable[tuple[bytes, bytes]], query: bytes = b"") -> Caller:
        """Return who sends a request with these headers, whose names are in lower case. Raise Unauthenticated."""
        if not self.needs_key:
            return ANYBODY
        for name, value in headers:
            if name == b"authorization":
                kind, _, text = value.decode("latin-1").partition(" ")
                if kind.lower() != "bearer":
                    raise Unauthenticated(MISSING)
                return self.credentials.caller(text.strip())
            if name == b"sec-websocket-protocol":
                for offered in value.decode("latin-1").split(","):
                    if offered.strip().startswith(KEY_SUBPROTOCOL):
                        return self.credentials.caller(offered.strip().removeprefix(KEY_SUBPROTOCOL))
        if b"ticket=" in query:
            given = parse_qs(query.decode("latin-1")).get(TICKET, [""])
            return self.credentials.caller_of_ticket(given[0])
        raise Unauthenticated(MISSING)

    def check_held(self, caller: Caller) -> None:
        """Raise Unauthenticated if the credentials of a caller have ended meanwhile. Safe to call from any thread."""
        if not self.credentials.holds(caller):
            raise Unauthenticated(ENDED)

    def caller_of_step(self, text: str) -> Caller | None:
        """Return the caller with a key or a token, None if it may not step: the parser's way says why."""
        try:
            caller = self.credentials.caller(text)
        except CellarError:
            return None
        return caller if STREAM_SCOPE in caller.scopes else None


def check_scope(caller: Caller, needed: KeyScope) -> None:
    """Raise ScopeMissing if the caller's key has not this scope."""
    if needed not in caller.scopes:
        has = ", ".join(sorted(caller.scopes)) or "none"
        raise ScopeMissing(f"this needs an API key with the scope {needed}; this one has {has}", scope=needed)


def scope_of(method: str, path: str) -> KeyScope:
    """Return the scope that a request needs.

    >>> scope_of("GET", "/v1/models"), scope_of("POST", "/v1/models"), scope_of("POST", "/v1/sessions/a/step")
    ('read', 'train', 'step')
    """
    for pattern, reading, changing in SCOPE_OF:
        if pattern.fullmatch(path):
            return reading if method in READING else changing
    return "read"  # there is no such path, which the answer says


class Authentication:
    """Stores the caller of an HTTP request in its scope, or answers 401 or 403. `Streams` checks WebSockets."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. A long one ends with the key."""
        if scope["type"] != "http" or PUBLIC.fullmatch(scope["path"]):
            return await self._app(scope, receive, send)
        try:
            query = scope["query_string"] if TICKETED.fullmatch(scope["path"]) else b""
            caller = scope[CALLER] = self._authenticator.caller(scope["headers"], query)
            check_scope(caller, scope_of(scope["method"], scope["path"]))
        except CellarError as error:
            return await problem_of(error)(scope, receive, send)
        if caller is ANYBODY or not LONG.fullmatch(scope["path"]):
            return await self._app(scope, receive, send)
        with self._authenticator.credentials.watch(caller) as ended:
            return await _until(ended, self._app, scope, receive, send)


async def _until(ended: "asyncio.Future[None]", app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request until it ends, or as if its client had left as soon as the key has ended.

    Answer 401 if the key has ended before the answer had begun.
    """
    has_begun = is_open = False

    async def receive_or_end() -> Message:
        """Return the next message of the client, or a disconnect."""
        message = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((message, ended), return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if ended.done() else message.result()
        finally:
            message.cancel()

    async def noted(message: Message) -> None:
        """Pass a message of the answer on, and note whether another must follow."""
        nonlocal has_begun, is_open
        has_begun, is_open = True, message["type"] == "http.response.start" or message.get("more_body", False)
        await send(message)

    await app(scope, receive_or_end, noted)
    if ended.done() and not has_begun:
        await problem_of(Unauthenticated(ENDED))(scope, receive, send)
    elif ended.done() and is_open:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
