"""Performs the effects of operations, with asyncio."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from cellar_client.core.effects import (
    Connect,
    ConnectionLost,
    Content,
    Disconnect,
    Effect,
    Emission,
    Emit,
    Item,
    Open,
    Operation,
    Pause,
    Receive,
    Reply,
    Request,
    Result,
    SendMessage,
)
from cellar_client.core.messages import RequestBuilder
from cellar_client.core.network_errors import HTTP_ERRORS, SOCKET_ERRORS, http_lost, socket_lost


class AsyncDriver:
    """A service at an address: HTTP, and one channel, which is a WebSocket or the answer to a request."""

    def __init__(self, http: httpx.AsyncClient, requests: RequestBuilder) -> None:
        self._http = http
        self._requests = requests
        self._channel: ClientConnection | AsyncIterator[bytes] | None = None
        self._opened = AsyncExitStack()
        """Closes the channel."""

    def for_channel(self) -> "AsyncDriver":
        """Return a driver of the same service with a channel of its own."""
        return AsyncDriver(self._http, self._requests)

    async def run(self, operation: Operation[Result]) -> Result:
        """Perform an operation, and return its result or raise its error."""
        try:
            effect = next(operation)
            while True:
                try:
                    result = await self._perform(effect)
                except ConnectionLost as lost:
                    effect = operation.throw(lost)
                else:
                    effect = operation.send(result)
        except StopIteration as stop:
            found: Result = stop.value
            return found
        finally:
            operation.close()

    async def iterate(self, emission: Emission[Item]) -> AsyncIterator[Item]:
        """Perform an emission, and yield its items."""
        try:
            effect = next(emission)
            while True:
                if isinstance(effect, Emit):
                    yield effect.item
                    effect = next(emission)
                    continue
                try:
                    result = await self._perform(effect)
                except ConnectionLost as lost:
                    effect = emission.throw(lost)
                else:
                    effect = emission.send(result)
        except StopIteration:
            return
        finally:
            emission.close()

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return await self._request(effect)
            case Receive() | SendMessage():
                return await self._exchange(effect)
            case Pause():
                return await asyncio.sleep(effect.seconds)
            case Connect():
                return await self._connect(effect.path)
            case Open():
                return await self._open(effect.request)
            case Disconnect():
                return await self.disconnect()

    def _built(self, request: Request, *, patient: bool = False) -> httpx.Request:
        content = request.content
        return self._requests.build(request, _parts(content) if callable(content) else content, patient=patient)

    async def _request(self, request: Request) -> Reply:
        try:
            response = await self._http.send(self._built(request))
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        return Reply(response.status_code, response.headers, response.content)

    async def _open(self, request: Request) -> Reply:
        await self.disconnect()
        try:
            response = await self._http.send(self._built(request, patient=True), stream=True)
            self._opened.push_async_callback(response.aclose)
            content = await response.aread() if response.is_error else b""
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        self._channel = response.aiter_bytes()
        return Reply(response.status_code, response.headers, content)

    async def _connect(self, path: str) -> None:
        await self.disconnect()
        try:
            self._channel = await self._opened.enter_async_context(
                connect(
                    self._requests.socket_url(path),
                    additional_headers=self._requests.headers,
                    compression=None,
                    max_size=None,
                    close_timeout=1,
                )
            )
        except SOCKET_ERRORS as error:
            raise socket_lost(error) from error

    async def _exchange(self, effect: SendMessage | Receive) -> str | bytes | None:
        channel = self._channel
        if channel is None:
            raise ConnectionLost("the channel was closed")
        try:
            if not isinstance(channel, ClientConnection):
                return await anext(channel, b"")
            if isinstance(effect, Receive):
                return await channel.recv()
            await channel.send(effect.content)
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        except SOCKET_ERRORS as error:
            raise socket_lost(error) from error
        return None

    async def disconnect(self) -> None:
        """Close the channel, if it is open."""
        self._channel = None
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()


async def _parts(content: Content) -> AsyncIterator[bytes]:
    """Yield the parts of a body."""
    assert callable(content)
    for part in content():
        yield part
