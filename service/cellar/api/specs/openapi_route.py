"""The OpenAPI document as an answer: made once, on a thread, and kept as the bytes that are sent."""

from asyncio import Lock

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.http.body import JSON
from cellar.api.specs import openapi

PATH = "/openapi.json"


class OpenApiDocument:
    """Answers with the document. Making it takes half a second, in which the event loop would answer nobody else."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._making = Lock()

    async def answer(self, _: Request) -> Response:
        """Return the document as JSON."""
        async with self._making:
            if self._content is None:
                self._content = await run_sync(lambda: orjson.dumps(openapi.document()))
        return Response(self._content, media_type=JSON)
