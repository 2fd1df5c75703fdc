"""Middleware for gzip: decodes request bodies, and encodes long JSON answers for clients that accept it."""

import asyncio
from collections.abc import Iterator

from anyio.to_thread import run_sync
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.http.body import HELD, STREAMS, WholeBody, is_upload
from cellar.api.http.negotiation import accepts_gzip
from cellar.errors import UnsupportedMediaType
from cellar.memory.request_memory import RequestMemory
from cellar.wire.gzipped import Gunzip, compress

GZIP = ("gzip", "x-gzip")

LEAST_BYTES = 32 * 1024
"""Shorter answers cost less to send than to compress."""

LOADED = ("application/json", "application/problem+json")
"""Types of answers that are compressed. Float32 numbers in npy and frames would still have 92% of their size."""


class GzipBodies:
    """Decodes bodies with `Content-Encoding: gzip`, and refuses every other encoding.

    The limit also applies to the decoded bytes, and is checked while decoding. Bodies of STREAMS are
    limited by their routes.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, memory: RequestMemory) -> None:
        self._app = app
        self._limit = max_body_bytes
        self._memory = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as if it had not been encoded."""
        coding = _coding(scope) if scope["type"] == "http" else ""
        if not coding:
            return await self._app(scope, receive, send)
        if coding not in GZIP:
            error = UnsupportedMediaType(f"expected Content-Encoding: gzip or none, got {coding[:40]}")
            return await problem_of(error, {"Accept-Encoding": "gzip"})(scope, receive, send)
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-encoding", b"content-length")]
        decoded = _Decoded(receive)
        if STREAMS.fullmatch(scope["path"]) or is_upload(scope):
            return await self._app({**scope, "headers": headers}, decoded, send)
        held = self._memory.reservation()
        try:
            whole = WholeBody(scope, decoded, held, self._limit, "more when decoded")
            return await self._app({**scope, "headers": headers, HELD: held}, whole, send)
        finally:
            held.release()


def _coding(scope: Scope) -> str:
    """Return the encoding of the body in lower case, "" without one."""
    found = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"content-encoding")
    coding = found.strip().lower()
    return "" if coding == "identity" else coding


class _Decoded:
    """A `receive` that decodes, the next piece only when it is called for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gunzip = Gunzip()
        self._pieces: Iterator[bytes] = iter(())
        self._last = self._over = False

    async def __call__(self) -> Message:
        while not self._over:
            piece = next(self._pieces, None)
            if piece is not None:
                await asyncio.sleep(0)  # a long body is decoded piece by piece, with other requests in between
                return {"type": "http.request", "body": piece, "more_body": True}
            if self._last:
                self._gunzip.end()
                self._over = True
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._pieces = self._gunzip.feed(message.get("body", b""))
            self._last = not message.get("more_body", False)
        return await self._receive()


class GzipAnswers:
    """Encodes long JSON answers as gzip for clients that accept it. Answers in parts are not encoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that keeps the head of the answer until the body is known."""
        if scope["type"] != "http" or not accepts_gzip(Headers(scope=scope)):
            return await self._app(scope, receive, send)
        start: Message | None = None

        async def encoding(message: Message) -> None:
            """Send a message; an answer with a single body message is compressed."""
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                head, start = start, None
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    message = await encoded(head, message)
                await send(head)
            await send(message)

        return await self._app(scope, receive, encoding)


async def encoded(start: Message, message: Message) -> Message:
    """Return the body encoded, and set the headers, if the body is long and of a type that is compressed."""
    headers, body = MutableHeaders(raw=start["headers"]), message.get("body", b"")
    kind = headers.get("content-type", "").partition(";")[0]
    if len(body) < LEAST_BYTES or kind not in LOADED or "content-encoding" in headers:
        return message
    encoded = await run_sync(compress, body)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(encoded))
    headers.add_vary_header("Accept-Encoding")
    start["headers"] = headers.raw
    return {**message, "body": encoded}
