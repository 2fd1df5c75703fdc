"""A client of Cellar, the service of recurrent networks whose hidden state outlives the request.

    from cellar_client import Client

    with Client("http://localhost:8080") as client:
        with client.session("pump-7", model="decay").stream(state="pump-7.json") as stream:
            for answer in stream.run(readings[stream.taken :]):
                print(answer.step, answer.output)

Every step is applied exactly once: the client keeps positions and numbers, sends again what was not answered, and
continues after its own crash from a file. `Client` blocks, `AsyncClient` is for asyncio; both have the same methods.
Errors are in `cellar_client.errors`, a class for each type.
"""

from cellar_client.aio.catalogue import AsyncJob, AsyncModels
from cellar_client.aio.client import AsyncClient
from cellar_client.aio.session import AsyncSession
from cellar_client.aio.stream import AsyncStream
from cellar_client.errors import CellarError, ConnectionFailed, JobFailed, Problem, StateFileInvalid
from cellar_client.sync.catalogue import Job, Models
from cellar_client.sync.client import Client
from cellar_client.sync.session import Session
from cellar_client.sync.stream import Stream
from cellar_client.values import Answer

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncJob",
    "AsyncModels",
    "AsyncSession",
    "AsyncStream",
    "CellarError",
    "Client",
    "ConnectionFailed",
    "Job",
    "JobFailed",
    "Models",
    "Problem",
    "Session",
    "StateFileInvalid",
    "Stream",
    "__version__",
]
