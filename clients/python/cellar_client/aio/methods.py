"""Turns operations into methods that are awaited."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from cellar_client.aio.driver import AsyncDriver
from cellar_client.core.effects import Emission, Item, Operation, Result
from cellar_client.core.signatures import described

Parameters = ParamSpec("Parameters")
Core = TypeVar("Core")
Handle = TypeVar("Handle")


class AsyncPerformer:
    """A part of the client whose methods perform the operations of its core."""

    core: Any

    def __init__(self, core: Any, driver: AsyncDriver) -> None:
        self.core = core
        self._driver = driver

    async def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation."""
        return await self._driver.run(operation)

    async def _iterate(self, emission: Emission[Item]) -> AsyncIterator[Item]:
        """Perform an emission with a channel of its own, and yield its items."""
        driver = self._driver.for_channel()
        try:
            async for item in driver.iterate(emission):
                yield item
        finally:
            await driver.disconnect()


def awaiting(
    operation: Callable[Concatenate[Any, Parameters], Operation[Result]],
) -> Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]]:
    """Return a method that performs an operation and returns its result."""

    async def method(self: AsyncPerformer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return await self._run(operation(self.core, *args, **kwargs))

    return described(method, operation)


def opening(
    operation: Callable[Concatenate[Any, Parameters], Operation[Core]], handle: Callable[[Core, AsyncDriver], Handle]
) -> Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Handle]]:
    """Return a method that performs an operation, and returns a part of the client for its result."""

    async def method(self: AsyncPerformer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Handle:
        return handle(await self._run(operation(self.core, *args, **kwargs)), self._driver)

    return described(method, operation, handle if isinstance(handle, type) else handle.__annotations__.get("return"))


def iterating(
    emission: Callable[Concatenate[Any, Parameters], Emission[Item]],
) -> Callable[Concatenate[Any, Parameters], AsyncIterator[Item]]:
    """Return a method that yields the items of an emission, for `async for`."""

    def method(self: AsyncPerformer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> AsyncIterator[Item]:
        return self._iterate(emission(self.core, *args, **kwargs))

    return described(method, emission, AsyncIterator)
