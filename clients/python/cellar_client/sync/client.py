"""The blocking client."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import httpx

from cellar_client.arrays.inputs import Inputs
from cellar_client.core.bulk import Bulk
from cellar_client.core.catalogue import Catalogue
from cellar_client.core.sessions import list_sessions, open_session
from cellar_client.errors import Problem
from cellar_client.sync.catalogue import Job, Models
from cellar_client.sync.driver import Driver
from cellar_client.sync.session import Session
from cellar_client.values import Answer, Document


class Client:
    """A connection to a service, blocking. Use it in a `with` block.

        with Client("http://localhost:8080") as client:
            session = client.session("pump-7", model="decay")
            print(session.step([8.0]).output)

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
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers)
        self._driver = Driver(url, self._http, headers or {})
        self._catalogue = Catalogue(give_up_s)
        self.models = Models(self._catalogue, self._driver)
        """The models of the service."""

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def session(
        self,
        name: str | None = None,
        model: str | None = None,
        *,
        state: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Session:
        """Return a session: the existing one, or a new one of `model` if there is none.

        `options` are members of a new session: `batch_size`, `ttl_s`, `pinned`, `history`, `log`, `events`. Without
        `model` the session must exist. Without `name` it is new. `state` is a file with which this client continues
        after its own crash; `recovered` of the session is then the answer to the request that was under way.
        """
        give_up_s = self._catalogue.give_up_s
        core = self._driver.run(open_session(name, model, options, give_up_s, state))
        return Session(core, self._driver)

    def sessions(self, **filters: Any) -> Iterator[Document]:
        """Yield the sessions of the service. `filters` are `model`, `prefix` and `pinned`."""
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = self._driver.run(list_sessions(filters, cursor, self._catalogue.give_up_s))
            yield from page

    def step_many(self, steps: Sequence[tuple[Session, Inputs]]) -> list[Answer | Problem]:
        """Apply a step of each of many sessions, and return the answer or the error of each, in order."""
        return self._many(steps, sequence=False)

    def sequence_many(self, steps: Sequence[tuple[Session, Inputs]]) -> list[Answer | Problem]:
        """Apply a sequence of each of many sessions, and return the answer or the error of each, in order."""
        return self._many(steps, sequence=True)

    def train(self, model: str, data: Mapping[str, Any], *, key: str | None = None, **settings: Any) -> Job:
        """Train a version on data, with the settings of docs/reference/training.md, and return the job.

        The same `key` within a day is the same job, also from another process.
        """
        return self._job(self._driver.run(self._catalogue.submit(model, data, settings, key)))

    def job(self, job: str) -> Job:
        """Return a training job."""
        return self._job(self._driver.run(self._catalogue.read_job(job)))

    def _job(self, document: Document) -> Job:
        return Job(document, self._catalogue, self._driver)

    def _many(self, steps: Sequence[tuple[Session, Inputs]], *, sequence: bool) -> list[Answer | Problem]:
        cores = [(session.core, inputs) for session, inputs in steps]
        return self._driver.run(Bulk(cores, sequence=sequence, give_up_s=self._catalogue.give_up_s).run())
