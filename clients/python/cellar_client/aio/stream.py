"""A stream of steps to one session."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Any, Self

from cellar_client.aio.driver import AsyncDriver
from cellar_client.arrays.inputs import Inputs, is_table
from cellar_client.core.session import Reset
from cellar_client.core.stream import StreamCore
from cellar_client.values import Answer


class AsyncStream:
    """Steps of one session over a WebSocket that is opened again by itself; each is applied exactly once.

    Use it in an `async with` block. `AsyncSession.stream` returns one:

        session = await client.session("pump-7", model="decay")
        async with session.stream(state="pump-7.json") as stream:
            async for answer in stream.run(readings[stream.taken :]):
                print(answer.step, answer.output)
    """

    def __init__(self, core: StreamCore, driver: AsyncDriver) -> None:
        self._core = core
        self._driver = driver

    @property
    def taken(self) -> int:
        """Number of inputs that were handed over, those of former processes with the same state file or writer too."""
        return self._core.queue.taken

    @property
    def waiting(self) -> int:
        """Number of inputs whose answers were not received yet."""
        return self._core.waiting

    @property
    def writer(self) -> str:
        """Name under which the session knows this stream."""
        return self._core.writer

    async def __aenter__(self) -> Self:
        """Continue from the state file, or behind the last request of the writer, and return the stream."""
        await self._driver.run(self._core.open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to all inputs, unless there was an error, and close the connection."""
        try:
            while kind is None and self.waiting:
                await self.receive()
        finally:
            await self.close()

    async def step(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply one step, (F) or (B, F), and return its answer. Raise Problem; a refused step is left out.

        No other answers may be waited for: use `send` and `receive` to have several steps under way.
        """
        if self.waiting:
            raise ValueError(f"{self.waiting} answers were not received yet")
        await self.send(inputs, reset)
        return await self.receive()

    async def send(self, inputs: Inputs, reset: Reset = False) -> None:
        """Send one step, and return before it is answered. Waits while as many are in flight as there may be."""
        await self._driver.run(self._core.send(inputs, reset))

    async def send_sequence(self, inputs: Inputs, reset: Reset = False) -> None:
        """Send several steps that are applied together or not at all, (T, F) or (T, B, F). They have one answer."""
        await self._driver.run(self._core.send(inputs, reset, sequence=True))

    async def receive(self) -> Answer:
        """Return the next answer, in the order of the inputs. Raise the Problem of an input that was refused.

        A refused input is left out, and the stream can be used further.
        """
        return await self._driver.run(self._core.receive())

    async def run(self, inputs: Inputs, ahead: int | None = None) -> AsyncIterator[Answer]:
        """Apply inputs as steps, and yield their answers in order; first those of earlier inputs.

        `ahead` is how many steps may be in flight. The default is as many as the service allows, except for an iterator
        that is not asynchronous, which may wait for each of its inputs: 1. Answers are yielded while an asynchronous
        iterator is waited for.
        """
        if isinstance(inputs, AsyncIterable):
            async for answer in self._follow(inputs, min(ahead or self._core.window, self._core.window)):
                yield answer
            return
        values = inputs.to_numpy() if is_table(inputs) else inputs
        most = self._core.window if hasattr(values, "__len__") else 1
        most = most if ahead is None else min(ahead, self._core.window)
        while self._core.waiting >= most:
            yield await self.receive()
        for one in values:
            self._core.queue.push(one)
            if self._core.waiting < most:
                continue
            await self._driver.run(self._core.flush())
            while self._core.waiting > most // 2:
                yield await self.receive()
        while self.waiting:
            yield await self.receive()

    async def _follow(self, inputs: AsyncIterable[Inputs], most: int) -> AsyncIterator[Answer]:
        """Wait for the next input and the next answer at once."""
        source = aiter(inputs)
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
                        self._core.queue.push(one)
                        await self._driver.run(self._core.flush())
        finally:
            for task in (coming, answer):
                if task is not None:
                    task.cancel()

    async def close(self) -> None:
        """Close the connection. Inputs without an answer stay in the state file, if there is one."""
        await self._driver.run(self._core.close())


END = object()


async def _next(source: AsyncIterator[Any]) -> Any:
    """Return the next input, END behind the last one."""
    return await anext(source, END)
