"""The client for asyncio. Each method performs the operation that it names, with its parameters and docstring."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from cellar_client.aio.driver import AsyncDriver
from cellar_client.aio.methods import AsyncPerformer, awaiting, iterating, opening
from cellar_client.aio.training import AsyncBacktest, AsyncJob, AsyncSweep, backtests_of, jobs_of, sweeps_of
from cellar_client.arrays.inputs import Inputs, grouped
from cellar_client.catalogue.datasets import DatasetsCore
from cellar_client.catalogue.keys import KeysCore
from cellar_client.catalogue.models import ModelsCore
from cellar_client.core.effects import Emission, Item, Operation, Result
from cellar_client.core.messages import RequestBuilder, all_headers
from cellar_client.core.signatures import described
from cellar_client.handles import SessionHandle, StreamHandle
from cellar_client.operations import ClientCore
from cellar_client.sessions.session import SessionCore
from cellar_client.sessions.stream import StreamCore
from cellar_client.values import Answer

END = object()


async def _next(source: AsyncIterator[Any]) -> Any:
    """Return the next input, END behind the last one."""
    return await anext(source, END)


async def _grouped(source: AsyncIterable[Inputs], size: int) -> AsyncIterator[list[Inputs]]:
    """Yield inputs in lists of `size`, the last one shorter."""
    group = list[Inputs]()
    async for one in source:
        group.append(one)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class AsyncStream(StreamHandle, AsyncPerformer):
    """Steps of one session over a WebSocket that is opened again by itself; each is applied exactly once.

    Use it in an `async with` block. `AsyncSession.stream` returns one:

        session = await client.session("pump-7", model="decay")
        async with session.stream(state="pump-7.json") as stream:
            async for answer in stream.run(readings[stream.taken :]):
                print(answer.step, answer.output)
    """

    core: StreamCore

    async def __aenter__(self) -> Self:
        """Continue from the state file, or behind the last request of the writer, and return the stream."""
        await self._run(self.core.open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to all inputs, unless there was an error, and close the connection."""
        try:
            if kind is None:
                await self._run(self.core.drain())
        finally:
            await self.close()

    def _iterate(self, emission: Emission[Item]) -> AsyncIterator[Item]:
        """Perform an emission with the channel of the stream, and yield its items."""
        return self._driver.iterate(emission)

    step = awaiting(StreamCore.step)
    send = awaiting(StreamCore.send)
    send_sequence = awaiting(StreamCore.send_sequence)
    receive = awaiting(StreamCore.receive)

    def _answers(self, inputs: Inputs, ahead: int | None = None, chunk: int | None = None) -> AsyncIterator[Answer]:
        if not isinstance(inputs, AsyncIterable):
            return self._iterate(self.core.run(inputs, ahead, chunk))
        source = aiter(inputs if chunk is None else _grouped(inputs, chunk))
        return self._follow(source, self.core.most_ahead(inputs, ahead), sequence=chunk is not None)

    run = described(_answers, StreamCore.run, AsyncIterator)

    async def _follow(self, source: AsyncIterator[Inputs], most: int, *, sequence: bool) -> AsyncIterator[Answer]:
        """Wait for the next input and the next answer at once."""
        coming: asyncio.Future[Any] | None = asyncio.ensure_future(_next(source))
        answer: asyncio.Future[Answer] | None = None
        try:
            while coming is not None or self.waiting:
                if answer is None and self.waiting:
                    answer = asyncio.ensure_future(self.receive())
                both = [each for each in (coming if self.waiting < most else None, answer) if each is not None]
                done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if answer in done:
                    found, answer = answer, None
                    yield await found
                if coming in done:
                    one = await coming
                    coming = None
                    if one is not END:
                        coming = asyncio.ensure_future(_next(source))
                        self.core.queue.push(one, sequence=sequence)
                        await self._run(self.core.flush())
        finally:
            for task in (coming, answer):
                if task is not None:
                    task.cancel()

    close = awaiting(StreamCore.close)


class AsyncSession(SessionHandle, AsyncPerformer):
    """A session of one client. `AsyncClient.session` returns one.

    Every request carries the position of the last answer, and is sent again until it is answered; it is applied once.
    Several clients that step one session use streams, each with a `writer` of its own.
    """

    core: SessionCore

    def __init__(self, core: SessionCore, driver: AsyncDriver) -> None:
        super().__init__(core, driver)
        self._lock = asyncio.Lock()
        """Two requests at one position would be taken for one that is repeated."""

    async def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation after those of other tasks."""
        async with self._lock:
            return await self._driver.run(operation)

    step = awaiting(SessionCore.step)
    sequence = awaiting(SessionCore.sequence)

    async def sequences(self, inputs: Inputs, chunk: int = 4096) -> AsyncIterator[Answer]:
        """Apply steps of any number as sequences of `chunk` steps, and yield the answer of each, as `sequence` does.

        `inputs` may be an iterator of steps, also an asynchronous one. Only one chunk is kept in memory. A stream with
        `run(inputs, chunk=...)` has several chunks in flight.
        """
        if isinstance(inputs, AsyncIterable):
            async for part in _grouped(inputs, chunk):
                yield await self.sequence(part)
            return
        for part in grouped(inputs, chunk):
            yield await self.sequence(part)

    long_sequence = awaiting(SessionCore.long_sequence)

    def stream(
        self, writer: str | None = None, state: str | os.PathLike[str] | None = None, *, remember: int = 1024
    ) -> AsyncStream:
        """Return a stream of steps over a WebSocket, to be used in an `async with` block.

        `state` is a file with which the stream continues after a crash of this process. Without a file, a `writer`
        (a name that no other client of the session has) continues behind its last request. With neither, the stream
        is a new writer. `remember` is how many answered steps can be sent again if Redis loses them.
        """
        core = StreamCore(self.name, self.core.give_up_s, writer, state, remember)
        return AsyncStream(core, self._driver.for_channel())

    state = awaiting(SessionCore.state)
    write_state = awaiting(SessionCore.write_state)
    update_state = awaiting(SessionCore.update_state)
    reset = awaiting(SessionCore.reset)

    snapshot = awaiting(SessionCore.snapshot)
    snapshots = awaiting(SessionCore.snapshots)
    delete_snapshot = awaiting(SessionCore.delete_snapshot)
    restore = awaiting(SessionCore.restore)
    fork = opening(SessionCore.fork, lambda cores, driver: [AsyncSession(core, driver) for core in cores])
    forecast = awaiting(SessionCore.forecast)

    history = awaiting(SessionCore.history)
    rewind = awaiting(SessionCore.rewind)
    log = iterating(SessionCore.log)
    replay = awaiting(SessionCore.replay)
    migrate = awaiting(SessionCore.migrate)
    give_targets = awaiting(SessionCore.give_targets)
    learning = awaiting(SessionCore.learning)
    reset_learning = awaiting(SessionCore.reset_learning)
    publish_learning = awaiting(SessionCore.publish_learning)
    start_shadow = awaiting(SessionCore.start_shadow)
    shadow = awaiting(SessionCore.shadow)
    end_shadow = awaiting(SessionCore.end_shadow)
    events = iterating(SessionCore.events)

    refresh = awaiting(SessionCore.refresh)
    writer = awaiting(SessionCore.writer)
    update = awaiting(SessionCore.update)
    delete = awaiting(SessionCore.delete)


class AsyncModels(AsyncPerformer):
    """The models of a service. `co2` is the newest version, `co2@3` is one version, and `co2@live` that of an alias."""

    core: ModelsCore

    create = awaiting(ModelsCore.create)
    publish = awaiting(ModelsCore.publish)
    import_torch = awaiting(ModelsCore.import_torch)
    import_file = awaiting(ModelsCore.import_file)
    host_graph = awaiting(ModelsCore.host_graph)
    get = awaiting(ModelsCore.get)
    versions = awaiting(ModelsCore.versions)
    backtest = awaiting(ModelsCore.backtest)
    describe = awaiting(ModelsCore.describe)
    weights = awaiting(ModelsCore.weights)
    export = awaiting(ModelsCore.export)
    delete = awaiting(ModelsCore.delete)

    alias = awaiting(ModelsCore.alias)
    aliases = awaiting(ModelsCore.aliases)
    move_alias = awaiting(ModelsCore.move_alias)
    delete_alias = awaiting(ModelsCore.delete_alias)

    list = iterating(ModelsCore.list)


class AsyncDatasets(AsyncPerformer):
    """The datasets of a service."""

    core: DatasetsCore

    add = awaiting(DatasetsCore.add)
    add_sessions = awaiting(DatasetsCore.add_sessions)
    get = awaiting(DatasetsCore.get)
    statistics = awaiting(DatasetsCore.statistics)
    export = awaiting(DatasetsCore.export)
    rows = iterating(DatasetsCore.rows)
    delete = awaiting(DatasetsCore.delete)

    list = iterating(DatasetsCore.list)


class AsyncKeys(AsyncPerformer):
    """The API keys of the client's tenant."""

    core: KeysCore

    create = awaiting(KeysCore.create)
    list = awaiting(KeysCore.list)
    get = awaiting(KeysCore.get)
    rotate = awaiting(KeysCore.rotate)
    revoke = awaiting(KeysCore.revoke)
    ticket = awaiting(KeysCore.ticket)


class AsyncClient(AsyncPerformer):
    """A connection to a service, for asyncio. Use it in an `async with` block.

        async with AsyncClient("http://localhost:8080") as client:
            session = await client.session("pump-7", model="decay")
            print((await session.step([8.0])).output)

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
        self._http = httpx.AsyncClient(timeout=timeout_s)
        super().__init__(
            ClientCore(give_up_s),
            AsyncDriver(self._http, RequestBuilder(url, all_headers(api_key, headers), self._http)),
        )
        self.models = AsyncModels(ModelsCore(give_up_s), self._driver)
        """The models of the service."""
        self.datasets = AsyncDatasets(DatasetsCore(give_up_s), self._driver)
        """The datasets of the service."""
        self.keys = AsyncKeys(KeysCore(give_up_s), self._driver)
        """The API keys of the client's tenant."""

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    session = opening(ClientCore.session, AsyncSession)
    sessions = iterating(ClientCore.sessions)
    create_sessions = awaiting(ClientCore.create_sessions)
    delete_sessions = awaiting(ClientCore.delete_sessions)
    step_many = awaiting(ClientCore.step_many)
    sequence_many = awaiting(ClientCore.sequence_many)
    train = opening(ClientCore.train, AsyncJob)
    train_dataset = opening(ClientCore.train_dataset, AsyncJob)
    job = opening(ClientCore.job, AsyncJob)
    jobs = opening(ClientCore.jobs, jobs_of)
    sweep = opening(ClientCore.sweep, AsyncSweep)
    sweep_dataset = opening(ClientCore.sweep_dataset, AsyncSweep)
    find_sweep = opening(ClientCore.find_sweep, AsyncSweep)
    sweeps = opening(ClientCore.sweeps, sweeps_of)
    backtest = opening(ClientCore.backtest, AsyncBacktest)
    find_backtest = opening(ClientCore.find_backtest, AsyncBacktest)
    backtests = opening(ClientCore.backtests, backtests_of)
    explain_cell = awaiting(ClientCore.explain_cell)
    health = awaiting(ClientCore.health)
    ready = awaiting(ClientCore.ready)
    is_ready = awaiting(ClientCore.is_ready)
