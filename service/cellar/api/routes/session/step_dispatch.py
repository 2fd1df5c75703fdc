"""Dispatches requests for steps to their routes without FastAPI.

FastAPI's stack, which finds the route and solves its dependencies, takes far more of a step's time than decoding and
encoding it. The endpoints are the functions of `cellar.api.routes.session.steps`. Requests that cannot be dispatched
here go through FastAPI, and get the same answer.
"""

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cellar.api.dependencies import caller_of, services_of
from cellar.api.errors.problems import problem_of
from cellar.api.http.path_segments import name_of
from cellar.api.routes.session import steps
from cellar.api.schemas.names import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_PATTERN
from cellar.errors import CellarError
from cellar.ports import SessionKey, is_name

PATH = re.compile(r"/v1/sessions/([^/]+)/(step|sequence)")
KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
ENDPOINTS = {"step": steps.step, "sequence": steps.sequence}


class StepDispatch:
    """Calls the endpoints of `POST /v1/sessions/{session}/step` and `/sequence` directly."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request if it is for steps, else pass it on."""
        path = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        name = "" if path is None else name_of(path[1])
        if path is None or not is_name(name):
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not KEY.fullmatch(key):
            return await self._app(scope, receive, send)
        session = SessionKey(caller_of(request).tenant, name)
        try:
            response = await ENDPOINTS[path[2]](session, request, services_of(request), key)
        except CellarError as error:
            response = problem_of(error)
        return await response(scope, receive, send)
