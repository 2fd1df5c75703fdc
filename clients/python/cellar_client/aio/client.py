"""The client for asyncio."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import httpx

from cellar_client.aio.catalogue import AsyncJob, AsyncModels
from cellar_client.aio.driver import AsyncDriver
from cellar_client.aio.session import AsyncSession
from cellar_client.arrays.inputs import Inputs
from cellar_client.core.bulk import Bulk
from cellar_client.core.catalogue import Catalogue
from cellar_client.core.sessions import list_sessions, open_session
from cellar_client.errors import Problem
from cellar_client.values import Answer, Document


class AsyncClient:
    """A connection to a service, with asyncio. Use it in an `async with` block.

        async with AsyncClient("http://localhost:8080") as client:
            session = await client.session("pump-7", model="decay")
            print((await session.step([8.0])).output)

    Every request is sent again after a lost connection and while the service cannot answer, and is applied once. After
    `give_up_s` seconds of pauses the error is raised. `timeout_s` is how long one try may take; the creation of a model
    compiles its kernels. `headers` are sent with every request.
    """

    def __init__(
        self,
        url: str = "http://localhost:8080",
        *,
        give_up_s: float = 60.0,
        timeout_s: float = 120.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, headers=headers)
        self._driver = AsyncDriver(url, self._http, headers or {})
        self._catalogue = Catalogue(give_up_s)
        self.models = AsyncModels(self._catalogue, self._driver)
        """The models of the service."""

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def session(
        self,
        name: str | None = None,
        model: str | None = None,
        *,
        state: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> AsyncSession:
        """Return a session: the existing one, or a new one of `model` if there is none.

        `options` are members of a new session: `batch_size`, `ttl_s`, `pinned`, `history`, `log`, `events`. Without
        `model` the session must exist. Without `name` it is new. `state` is a file with which this client continues
        after its own crash; `recovered` of the session is then the answer to the request that was under way.
        """
        give_up_s = self._catalogue.give_up_s
        core = await self._driver.run(open_session(name, model, options, give_up_s, state))
        return AsyncSession(core, self._driver)

    async def sessions(self, **filters: Any) -> AsyncIterator[Document]:
        """Yield the sessions of the service. `filters` are `model`, `prefix` and `pinned`."""
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = await self._driver.run(list_sessions(filters, cursor, self._catalogue.give_up_s))
            for session in page:
                yield session

    async def step_many(self, steps: Sequence[tuple[AsyncSession, Inputs]]) -> list[Answer | Problem]:
        """Apply a step of each of many sessions, and return the answer or the error of each, in order."""
        return await self._many(steps, sequence=False)

    async def sequence_many(self, steps: Sequence[tuple[AsyncSession, Inputs]]) -> list[Answer | Problem]:
        """Apply a sequence of each of many sessions, and return the answer or the error of each, in order."""
        return await self._many(steps, sequence=True)

    async def train(self, model: str, data: Mapping[str, Any], *, key: str | None = None, **settings: Any) -> AsyncJob:
        """Train a version on data, with the settings of docs/reference/training.md, and return the job.

        The same `key` within a day is the same job, also from another process.
        """
        return self._job(await self._driver.run(self._catalogue.submit(model, data, settings, key)))

    async def job(self, job: str) -> AsyncJob:
        """Return a training job."""
        return self._job(await self._driver.run(self._catalogue.read_job(job)))

    def _job(self, document: Document) -> AsyncJob:
        return AsyncJob(document, self._catalogue, self._driver)

    async def _many(self, steps: Sequence[tuple[AsyncSession, Inputs]], *, sequence: bool) -> list[Answer | Problem]:
        cores = [(session.core, inputs) for session, inputs in steps]
        return await self._driver.run(Bulk(cores, sequence=sequence, give_up_s=self._catalogue.give_up_s).run())
