"""A stream of steps to one session, blocking."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from cellar_client.arrays.inputs import Inputs, is_table
from cellar_client.core.session import Reset
from cellar_client.core.stream import StreamCore
from cellar_client.sync.driver import Driver
from cellar_client.values import Answer


class Stream:
    """Steps of one session over a WebSocket that is opened again by itself; each is applied exactly once.

    Use it in a `with` block, from one thread. `Session.stream` returns one:

        with client.session("pump-7", model="decay").stream(state="pump-7.json") as stream:
            for answer in stream.run(readings[stream.taken :]):
                print(answer.step, answer.output)
    """

    def __init__(self, core: StreamCore, driver: Driver) -> None:
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

    def __enter__(self) -> Self:
        """Continue from the state file, or behind the last request of the writer, and return the stream."""
        self._driver.run(self._core.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to all inputs, unless there was an error, and close the connection."""
        try:
            while kind is None and self.waiting:
                self.receive()
        finally:
            self.close()

    def step(self, inputs: Inputs, reset: Reset = False) -> Answer:
        """Apply one step, (F) or (B, F), and return its answer. Raise Problem; a refused step is left out.

        No other answers may be waited for: use `send` and `receive` to have several steps under way.
        """
        if self.waiting:
            raise ValueError(f"{self.waiting} answers were not received yet")
        self.send(inputs, reset)
        return self.receive()

    def send(self, inputs: Inputs, reset: Reset = False) -> None:
        """Send one step, and return before it is answered. Waits while as many are in flight as there may be."""
        self._driver.run(self._core.send(inputs, reset))

    def send_sequence(self, inputs: Inputs, reset: Reset = False) -> None:
        """Send several steps that are applied together or not at all, (T, F) or (T, B, F). They have one answer."""
        self._driver.run(self._core.send(inputs, reset, sequence=True))

    def receive(self) -> Answer:
        """Return the next answer, in the order of the inputs. Raise the Problem of an input that was refused.

        A refused input is left out, and the stream can be used further.
        """
        return self._driver.run(self._core.receive())

    def run(self, inputs: Inputs, ahead: int | None = None) -> Iterator[Answer]:
        """Apply inputs as steps, and yield their answers in order; first those of earlier inputs.

        `ahead` is how many steps may be in flight. The default is as many as the service allows for arrays, lists and
        tables, which are at hand, and 1 for an iterator, which may wait for each of its inputs.
        """
        values = inputs.to_numpy() if is_table(inputs) else inputs
        most = self._core.window if hasattr(values, "__len__") else 1
        most = most if ahead is None else min(ahead, self._core.window)
        while self._core.waiting >= most:
            yield self.receive()
        for one in values:
            self._core.queue.push(one)
            if self._core.waiting < most:
                continue
            self._driver.run(self._core.flush())
            while self._core.waiting > most // 2:
                yield self.receive()
        while self.waiting:
            yield self.receive()

    def close(self) -> None:
        """Close the connection. Inputs without an answer stay in the state file, if there is one."""
        self._driver.run(self._core.close())
