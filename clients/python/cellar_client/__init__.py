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

from cellar_client.aio.client import AsyncClient, AsyncKeys, AsyncModels, AsyncSession, AsyncStream
from cellar_client.aio.training import AsyncBacktest, AsyncJob, AsyncSweep, AsyncTrial
from cellar_client.catalogue.job_events import JobEvent
from cellar_client.catalogue.models import Check
from cellar_client.errors import (
    BacktestFailed,
    CellarError,
    ConnectionFailed,
    JobFailed,
    Problem,
    StateFileInvalid,
    SweepFailed,
    TrialFailed,
)
from cellar_client.sync.client import Client, Keys, Models, Session, Stream
from cellar_client.sync.training import Backtest, Job, Sweep, Trial
from cellar_client.values import Answer, Event, LogEntry

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncBacktest",
    "AsyncClient",
    "AsyncJob",
    "AsyncKeys",
    "AsyncModels",
    "AsyncSession",
    "AsyncStream",
    "AsyncSweep",
    "AsyncTrial",
    "Backtest",
    "BacktestFailed",
    "CellarError",
    "Check",
    "Client",
    "ConnectionFailed",
    "Event",
    "Job",
    "JobEvent",
    "JobFailed",
    "Keys",
    "LogEntry",
    "Models",
    "Problem",
    "Session",
    "StateFileInvalid",
    "Stream",
    "Sweep",
    "SweepFailed",
    "Trial",
    "TrialFailed",
    "__version__",
]
