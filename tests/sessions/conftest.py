"""The session service on a real Redis, with the exact network for a model."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from cellar.sessions.history.history import SessionHistory
from cellar.sessions.requests import call_cost
from cellar.sessions.service.states import States
from cellar.sessions.values.limits import SessionLimits
from cellar.store.companions.history import RedisHistory
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router
from tests.sessions.asking import AskingSessions
from tests.sessions.exact import ExactModels
from tests.sessions.gate import Gate
from tests.sessions.versions import Versions


@pytest.fixture(autouse=True)
def calls_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call be cut because the one before took its time: gates hold calls up, and machines are slow."""
    monkeypatch.setattr(call_cost, "CALL_S", 3600.0)


STORE_OPTIONS = {"window", "output_cap_bytes", "idempotency_ttl_s", "patience_s", "commit_script"}


@dataclass
class FakeClock:
    """A clock that stands still."""

    time_s: float = 1_700_000_000.0

    def now_s(self) -> float:
        """Return the time that it was given."""
        return self.time_s


@dataclass
class Service:
    """One process' worth of session service."""

    sessions: AskingSessions
    states: States
    store: RedisSessions
    histories: SessionHistory
    models: ExactModels
    prefix: str


StartService = Callable[..., Service]


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Yield a maker of services that share what is stored: `start_service(url, ...)`."""
    prefix = f"test-{secrets.token_hex(6)}"
    started: list[Service] = []

    def start(url: str, **options: Any) -> Service:
        for_store = {name: options.pop(name) for name in STORE_OPTIONS & options.keys()}
        route = open_router(url)
        store = RedisSessions(route, prefix=prefix, **for_store)
        models = options.pop("models", None) or ExactModels()
        default = {"kernel_rev": 1, "default_ttl_s": 3600, "most_together": for_store.get("window", 32)}
        options = {**default, "queue_wait_s": 60.0, **options}  # a slow machine is no overload
        sessions = AskingSessions(store, store.uses, models, FakeClock(), SessionLimits(**options))
        past = RedisHistory(route, prefix=prefix, page_bytes=200)  # so that logs have many pages
        started.append(
            Service(sessions, States(sessions, store), store, SessionHistory(sessions, store, past), models, prefix)
        )
        return started[-1]

    yield start
    for service in started:
        await service.sessions.aclose()
        await service.store.aclose()


@pytest.fixture
def service(redis_url: str, start_service: StartService) -> Service:
    """Return a service on the shared Redis."""
    return start_service(redis_url)


@pytest.fixture
def versions(redis_url: str, start_service: StartService) -> Service:
    """Return a service with four versions of the model."""
    return start_service(redis_url, models=Versions())


@pytest.fixture
def shut(service: Service) -> Iterator[Callable[[], Gate]]:
    """Yield a way to shut the kernel's gate; it is open at the end whatever happens."""
    gates: list[Gate] = []

    def make() -> Gate:
        gates.append(Gate(service.models.network))
        return gates[-1]

    yield make
    for gate in gates:
        gate.open()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator["redis.Redis"]:
    """Yield a client of the shared Redis."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client
