"""Performs the effects of operations, blocking."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from cellar_client.core.effects import (
    Connect,
    ConnectionLost,
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


class Driver:
    """A service at an address: HTTP, and one channel, which is a WebSocket or the answer to a request."""

    def __init__(self, http: httpx.Client, requests: RequestBuilder) -> None:
        self._http = http
        self._requests = requests
        self._channel: ClientConnection | Iterator[bytes] | None = None
        self._opened = ExitStack()
        """Closes the channel."""

    def for_channel(self) -> "Driver":
        """Return a driver of the same service with a channel of its own."""
        return Driver(self._http, self._requests)

    def run(self, operation: Operation[Result]) -> Result:
        """Perform an operation, and return its result or raise its error."""
        try:
            effect = next(operation)
            while True:
                try:
                    result = self._perform(effect)
                except ConnectionLost as lost:
                    effect = operation.throw(lost)
                else:
                    effect = operation.send(result)
        except StopIteration as stop:
            found: Result = stop.value
            return found
        finally:
            operation.close()

    def iterate(self, emission: Emission[Item]) -> Iterator[Item]:
        """Perform an emission, and yield its items."""
        try:
            effect = next(emission)
            while True:
                if isinstance(effect, Emit):
                    yield effect.item
                    effect = next(emission)
                    continue
                try:
                    result = self._perform(effect)
                except ConnectionLost as lost:
                    effect = emission.throw(lost)
                else:
                    effect = emission.send(result)
        except StopIteration:
            return
        finally:
            emission.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return self._request(effect)
            case Receive() | SendMessage():
                return self._exchange(effect)
            case Pause():
                return time.sleep(effect.seconds)
            case Connect():
                return self._connect(effect.path)
            case Open():
                return self._open(effect.request)
            case Disconnect():
                return self.disconnect()

    def _built(self, request: Request, *, patient: bool = False) -> httpx.Request:
        content = request.content
        return self._requests.build(request, content() if callable(content) else content, patient=patient)

    def _request(self, request: Request) -> Reply:
        try:
            response = self._http.send(self._built(request))
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        return Reply(response.status_code, response.headers, response.content)

    def _open(self, request: Request) -> Reply:
        self.disconnect()
        try:
            response = self._http.send(self._built(request, patient=True), stream=True)
            self._opened.callback(response.close)
            content = response.read() if response.is_error else b""
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        self._channel = response.iter_bytes()
        return Reply(response.status_code, response.headers, content)

    def _connect(self, path: str) -> None:
        self.disconnect()
        try:
            self._channel = self._opened.enter_context(
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

    def _exchange(self, effect: SendMessage | Receive) -> str | bytes | None:
        channel = self._channel
        if channel is None:
            raise ConnectionLost("the channel was closed")
        try:
            if not isinstance(channel, ClientConnection):
                return next(channel, b"")
            if isinstance(effect, Receive):
                return channel.recv()
            channel.send(effect.content)
        except HTTP_ERRORS as error:
            raise http_lost(error) from error
        except SOCKET_ERRORS as error:
            raise socket_lost(error) from error
        return None

    def disconnect(self) -> None:
        """Close the channel, if it is open."""
        self._channel = None
        self._opened.close()
