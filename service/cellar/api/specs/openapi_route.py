"""The route that answers with the OpenAPI document, which is generated once on a thread."""

from asyncio import Lock

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.http.body import JSON
from cellar.api.specs import openapi

PATH = "/openapi.json"


class OpenApiDocument:
    """Answers with the document. To generate it takes half a second, for which the event loop would be blocked."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._making = Lock()

    async def answer(self, _: Request) -> Response:
        """Return the document as JSON."""
        async with self._making:
            if self._content is None:
                self._content = await run_sync(lambda: orjson.dumps(openapi.document()))
        return Response(self._content, media_type=JSON)
