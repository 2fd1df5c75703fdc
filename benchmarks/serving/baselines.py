"""Baseline servers without Cellar's code: `python -m benchmarks.serving.baselines NAME SOCKET`.

Each runs on uvicorn with the same options as Cellar: httptools, uvloop, WebSockets without compression, no access log.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each request with its own body, which is the least that an ASGI application can do."""
    assert scope["type"] == "http"
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def fastapi_echo() -> Any:
    """Return a FastAPI application whose route reads a step with pydantic and returns its input."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Step(BaseModel):
        input: list[float]

    app = FastAPI()

    @app.post("/v1/sessions/{session}/step")
    async def echo(session: str, body: Step) -> Step:  # noqa: ARG001  # a step names its session
        return body

    return app


async def websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each WebSocket message with itself, and HTTP requests as `bare` does."""
    if scope["type"] != "websocket":
        return await bare(scope, receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    return None


BASELINES: dict[str, Callable[[], Any]] = {
    "bare": lambda: bare,
    "fastapi-echo": fastapi_echo,
    "websocket-echo": lambda: websocket_echo,
}


def serve(app: Any, listener: socket.socket) -> None:
    """Serve an application on a listening socket until SIGTERM."""
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    serve(BASELINES[sys.argv[1]](), socket.socket(fileno=int(sys.argv[2])))
