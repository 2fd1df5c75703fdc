"""Turns operations into blocking methods."""

from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from cellar_client.core.effects import Emission, Item, Operation, Result
from cellar_client.core.signatures import described
from cellar_client.sync.driver import Driver

Parameters = ParamSpec("Parameters")
Core = TypeVar("Core")
Handle = TypeVar("Handle")


class Performer:
    """A part of the client whose methods perform the operations of its core."""

    core: Any

    def __init__(self, core: Any, driver: Driver) -> None:
        self.core = core
        self._driver = driver

    def _run(self, operation: Operation[Result]) -> Result:
        """Perform an operation."""
        return self._driver.run(operation)

    def _iterate(self, emission: Emission[Item]) -> Iterator[Item]:
        """Perform an emission with a channel of its own, and yield its items."""
        driver = self._driver.for_channel()
        try:
            yield from driver.iterate(emission)
        finally:
            driver.disconnect()


def blocking(
    operation: Callable[Concatenate[Any, Parameters], Operation[Result]],
) -> Callable[Concatenate[Any, Parameters], Result]:
    """Return a method that performs an operation and returns its result."""

    def method(self: Performer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return self._run(operation(self.core, *args, **kwargs))

    return described(method, operation)


def opening(
    operation: Callable[Concatenate[Any, Parameters], Operation[Core]], handle: Callable[[Core, Driver], Handle]
) -> Callable[Concatenate[Any, Parameters], Handle]:
    """Return a method that performs an operation, and returns a part of the client for its result."""

    def method(self: Performer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Handle:
        return handle(self._run(operation(self.core, *args, **kwargs)), self._driver)

    return described(method, operation, handle if isinstance(handle, type) else handle.__annotations__.get("return"))


def iterating(
    emission: Callable[Concatenate[Any, Parameters], Emission[Item]],
) -> Callable[Concatenate[Any, Parameters], Iterator[Item]]:
    """Return a method that yields the items of an emission."""

    def method(self: Performer, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Iterator[Item]:
        return self._iterate(emission(self.core, *args, **kwargs))

    return described(method, emission, Iterator)
