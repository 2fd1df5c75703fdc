"""The answer to requests that have not ended when a process that stops has waited for as long as it may."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.errors import Overloaded

STOPPED = "the service has stopped before the request ended (CELLAR_DRAIN_S)"


class StoppedRequests:
    """Answers 503 to a request that the server cancels, or has its connection closed if the answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request until it ends or is cancelled."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        has_begun = False

        async def noted(message: Message) -> None:
            """Pass a message of the answer on."""
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if not has_begun:
                error = Overloaded(STOPPED, outcome="unknown")
                await problem_of(error, {"Connection": "close"})(scope, receive, send)
