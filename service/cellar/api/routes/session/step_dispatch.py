"""Steps, dispatched before FastAPI.

Of the time that a step spends in the process, FastAPI's stack takes far more than reading, checking and answering:
it looks for the route and solves dependencies that a step does not have. The endpoints called here are the
functions of `cellar.api.routes.session.steps`. Any request that these cannot take goes through FastAPI, to the same
answer.
"""

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cellar.api.dependencies import caller_of, services_of
from cellar.api.errors.problems import problem_of
from cellar.api.routes.session import steps
from cellar.api.schemas.names import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_PATTERN
from cellar.errors import CellarError
from cellar.ports import NAME, SessionKey

PATH = re.compile(rf"/v1/sessions/({NAME})/(step|sequence)")
KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
ENDPOINTS = {"step": steps.step, "sequence": steps.sequence}


class HotRoutes:
    """Send `POST /v1/sessions/{session}/step` and `/sequence` straight to their endpoints."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request if it is one of ours, else pass it on."""
        path = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if path is None:
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not KEY.fullmatch(key):
            return await self._app(scope, receive, send)
        session = SessionKey(caller_of(request).tenant, path[1])
        try:
            response = await ENDPOINTS[path[2]](session, request, services_of(request), key)
        except CellarError as error:
            response = problem_of(error)
        return await response(scope, receive, send)
