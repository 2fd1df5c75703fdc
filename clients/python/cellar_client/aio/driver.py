"""Performs the effects of operations, with asyncio."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from cellar_client.core.effects import (
    Connect,
    ConnectionLost,
    Disconnect,
    Effect,
    Operation,
    Pause,
    Receive,
    Reply,
    Request,
    Result,
    SendMessage,
)
from cellar_client.core.network_errors import HTTP_ERRORS, SOCKET_ERRORS, http_lost, socket_lost, socket_url


class AsyncDriver:
    """A service at an address: HTTP, and a WebSocket for a stream that has a driver of its own."""

    def __init__(self, url: str, http: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
        self._url = url
        self._http = http
        self._headers = headers
        self._socket: ClientConnection | None = None

    def for_stream(self) -> "AsyncDriver":
        """Return a driver of the same service with a WebSocket of its own."""
        return AsyncDriver(self._url, self._http, self._headers)

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

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return await self._request(effect)
            case Pause():
                return await asyncio.sleep(effect.seconds)
            case SendMessage() | Receive():
                return await self._exchange(effect)
            case Connect():
                return await self._connect(effect.path)
            case Disconnect():
                return await self._disconnect()

    async def _request(self, request: Request) -> Reply:
        try:
            response = await self._http.request(
                request.method,
                request.path,
                content=request.content,
                headers=request.headers,
                params=request.params or None,
            )
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        return Reply(response.status_code, response.headers, response.content)

    async def _connect(self, path: str) -> None:
        await self._disconnect()
        try:
            self._socket = await connect(
                socket_url(self._url, path),
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                close_timeout=1,
            )
        except SOCKET_ERRORS as error:
            raise socket_lost(error) from error

    async def _exchange(self, effect: SendMessage | Receive) -> str | bytes | None:
        if self._socket is None:
            raise ConnectionLost("the WebSocket was closed")
        try:
            if isinstance(effect, Receive):
                return await self._socket.recv()
            await self._socket.send(effect.content)
        except SOCKET_ERRORS as error:
            raise socket_lost(error) from error
        return None

    async def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
