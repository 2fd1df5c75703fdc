"""The blocking client. Each method performs the operation that it names, with its parameters and docstring."""

import os
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

from cellar_client.arrays.inputs import Inputs, grouped
from cellar_client.catalogue.datasets import DatasetsCore
from cellar_client.catalogue.keys import KeysCore
from cellar_client.catalogue.models import ModelsCore
from cellar_client.core.effects import Emission, Item, Operation, Result
from cellar_client.core.messages import RequestBuilder, all_headers
from cellar_client.handles import SessionHandle, StreamHandle
from cellar_client.operations import ClientCore
from cellar_client.sessions.session import SessionCore
from cellar_client.sessions.stream import StreamCore
from cellar_client.sync.driver import Driver
from cellar_client.sync.methods import Performer, blocking, iterating, opening
from cellar_client.sync.training import Backtest, Job, Sweep, backtests_of, jobs_of, sweeps_of
from cellar_client.values import Answer


class Stream(StreamHandle, Performer):
    """Steps of one session over a WebSocket that is opened again by itself; each is applied exactly once.

    Use it in a `with` block, from one thread. `Session.stream` returns one:

        with client.session("pump-7", model="decay").stream(state="pump-7.json") as stream:
            for answer in stream.run(readings[stream.taken :]):
                print(answer.step, answer.output)
    """

    core: StreamCore

    def __enter__(self) -> Self:
        """Continue from the state file, or behind the last request of the writer, and return the stream."""
        self._run(self.core.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to all inputs, unless there was an error, and close the connection."""
        try:
            if kind is None:
                self._run(self.core.drain())
        finally:
            self.close()

    def _iterate(self, emission: Emission[Item]) -> Iterator[Item]:
        """Perform an emission with the channel of the stream, and yield its items."""
        return self._driver.iterate(emission)

    step = blocking(StreamCore.step)
    send = blocking(StreamCore.send)
    send_sequence = blocking(StreamCore.send_sequence)
    receive = blocking(StreamCore.receive)
    run = iterating(StreamCore.run)
    close = blocking(StreamCore.close)


class Session(SessionHandle, Performer):
    """A session of one client. `Client.session` returns one.

    Every request carries the position of the last answer, and is sent again until it is answered; it is applied once.
    Several clients that step one session use streams, each with a `writer` of its own.
    """

    core: SessionCore

    def __init__(self, core: SessionCore, driver: Driver) -> None:
        super().__init__(core, driver)
        self._lock = threading.Lock()
        """Two requests at one position would be taken for one that is repeated."""

    def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation after those of other threads."""
        with self._lock:
            return self._driver.run(operation)

    step = blocking(SessionCore.step)
    sequence = blocking(SessionCore.sequence)

    def sequences(self, inputs: Inputs, chunk: int = 4096) -> Iterator[Answer]:
        """Apply steps of any number as sequences of `chunk` steps, and yield the answer of each, as `sequence` does.

        `inputs` may be an iterator of steps. Only one chunk is kept in memory. A stream with `run(inputs, chunk=...)`
        has several chunks in flight.
        """
        for part in grouped(inputs, chunk):
            yield self.sequence(part)

    long_sequence = blocking(SessionCore.long_sequence)

    def stream(
        self, writer: str | None = None, state: str | os.PathLike[str] | None = None, *, remember: int = 1024
    ) -> Stream:
        """Return a stream of steps over a WebSocket, to be used in a `with` block.

        `state` is a file with which the stream continues after a crash of this process. Without a file, a `writer`
        (a name that no other client of the session has) continues behind its last request. With neither, the stream
        is a new writer. `remember` is how many answered steps can be sent again if Redis loses them.
        """
        core = StreamCore(self.name, self.core.give_up_s, writer, state, remember)
        return Stream(core, self._driver.for_channel())

    state = blocking(SessionCore.state)
    write_state = blocking(SessionCore.write_state)
    update_state = blocking(SessionCore.update_state)
    reset = blocking(SessionCore.reset)

    snapshot = blocking(SessionCore.snapshot)
    snapshots = blocking(SessionCore.snapshots)
    delete_snapshot = blocking(SessionCore.delete_snapshot)
    restore = blocking(SessionCore.restore)
    fork = opening(SessionCore.fork, lambda cores, driver: [Session(core, driver) for core in cores])
    forecast = blocking(SessionCore.forecast)

    history = blocking(SessionCore.history)
    rewind = blocking(SessionCore.rewind)
    log = iterating(SessionCore.log)
    replay = blocking(SessionCore.replay)
    migrate = blocking(SessionCore.migrate)
    give_targets = blocking(SessionCore.give_targets)
    learning = blocking(SessionCore.learning)
    reset_learning = blocking(SessionCore.reset_learning)
    publish_learning = blocking(SessionCore.publish_learning)
    start_shadow = blocking(SessionCore.start_shadow)
    shadow = blocking(SessionCore.shadow)
    end_shadow = blocking(SessionCore.end_shadow)
    events = iterating(SessionCore.events)

    refresh = blocking(SessionCore.refresh)
    writer = blocking(SessionCore.writer)
    update = blocking(SessionCore.update)
    delete = blocking(SessionCore.delete)


class Models(Performer):
    """The models of a service. `co2` is the newest version, `co2@3` is one version, and `co2@live` that of an alias."""

    core: ModelsCore

    create = blocking(ModelsCore.create)
    publish = blocking(ModelsCore.publish)
    import_torch = blocking(ModelsCore.import_torch)
    import_file = blocking(ModelsCore.import_file)
    host_graph = blocking(ModelsCore.host_graph)
    get = blocking(ModelsCore.get)
    versions = blocking(ModelsCore.versions)
    backtest = blocking(ModelsCore.backtest)
    describe = blocking(ModelsCore.describe)
    weights = blocking(ModelsCore.weights)
    export = blocking(ModelsCore.export)
    delete = blocking(ModelsCore.delete)

    alias = blocking(ModelsCore.alias)
    aliases = blocking(ModelsCore.aliases)
    move_alias = blocking(ModelsCore.move_alias)
    delete_alias = blocking(ModelsCore.delete_alias)

    list = iterating(ModelsCore.list)


class Datasets(Performer):
    """The datasets of a service."""

    core: DatasetsCore

    add = blocking(DatasetsCore.add)
    add_sessions = blocking(DatasetsCore.add_sessions)
    get = blocking(DatasetsCore.get)
    statistics = blocking(DatasetsCore.statistics)
    export = blocking(DatasetsCore.export)
    rows = iterating(DatasetsCore.rows)
    delete = blocking(DatasetsCore.delete)

    list = iterating(DatasetsCore.list)


class Keys(Performer):
    """The API keys of the client's tenant."""

    core: KeysCore

    create = blocking(KeysCore.create)
    list = blocking(KeysCore.list)
    get = blocking(KeysCore.get)
    rotate = blocking(KeysCore.rotate)
    revoke = blocking(KeysCore.revoke)
    ticket = blocking(KeysCore.ticket)


class Client(Performer):
    """A connection to a service, blocking. Use it in a `with` block.

        with Client("http://localhost:8080") as client:
            session = client.session("pump-7", model="decay")
            print(session.step([8.0]).output)

    Every request is sent again after a lost connection and while the service cannot answer, and is applied once. After
    `give_up_s` seconds of pauses the error is raised. `timeout_s` is how long one try may take; the creation of a model
    compiles its kernels. `api_key` is sent with every request, by default that of the environment variable
    CELLAR_API_KEY; `headers` too.
    """

    core: ClientCore

    def __init__(
        self,
        url: str = "http://localhost:8080",
        *,
        give_up_s: float = 60.0,
        timeout_s: float = 120.0,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http = httpx.Client(timeout=timeout_s)
        super().__init__(
            ClientCore(give_up_s), Driver(self._http, RequestBuilder(url, all_headers(api_key, headers), self._http))
        )
        self.models = Models(ModelsCore(give_up_s), self._driver)
        """The models of the service."""
        self.datasets = Datasets(DatasetsCore(give_up_s), self._driver)
        """The datasets of the service."""
        self.keys = Keys(KeysCore(give_up_s), self._driver)
        """The API keys of the client's tenant."""

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    session = opening(ClientCore.session, Session)
    sessions = iterating(ClientCore.sessions)
    create_sessions = blocking(ClientCore.create_sessions)
    delete_sessions = blocking(ClientCore.delete_sessions)
    step_many = blocking(ClientCore.step_many)
    sequence_many = blocking(ClientCore.sequence_many)
    train = opening(ClientCore.train, Job)
    train_dataset = opening(ClientCore.train_dataset, Job)
    job = opening(ClientCore.job, Job)
    jobs = opening(ClientCore.jobs, jobs_of)
    sweep = opening(ClientCore.sweep, Sweep)
    sweep_dataset = opening(ClientCore.sweep_dataset, Sweep)
    find_sweep = opening(ClientCore.find_sweep, Sweep)
    sweeps = opening(ClientCore.sweeps, sweeps_of)
    backtest = opening(ClientCore.backtest, Backtest)
    find_backtest = opening(ClientCore.find_backtest, Backtest)
    backtests = opening(ClientCore.backtests, backtests_of)
    explain_cell = blocking(ClientCore.explain_cell)
    health = blocking(ClientCore.health)
    ready = blocking(ClientCore.ready)
    is_ready = blocking(ClientCore.is_ready)
