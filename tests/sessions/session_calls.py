"""Short ways to call the session service in tests."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.ports import APPEND, Identity, Position, SessionKey, StepResult
from tests.sessions.conftest import Service


def a_step(*rows: float) -> NDArray[np.float32]:
    """Return the inputs of a step, (rows, 1)."""
    return np.array(rows, dtype=np.float32).reshape(-1, 1)


def a_sequence(*values: float) -> NDArray[np.float32]:
    """Return the inputs of a sequence of one row, (T, 1, 1)."""
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


async def begin(service: Service, batch_size: int = 1, **options: Any) -> SessionKey:
    """Create a session of the exact model."""
    answer = await service.sessions.create("default", **{"model": "exact", "batch_size": batch_size, **options})
    assert answer.created
    return answer.session.key


async def step(service: Service, key: SessionKey, value: float, identity: Identity = APPEND) -> StepResult:
    """Step a session of one row."""
    return await service.sessions.step(key, a_step(value), identity)


async def position(service: Service, key: SessionKey) -> Position:
    """Return where the session stands."""
    return (await service.sessions.get(key)).position


async def state(service: Service, key: SessionKey) -> list[float]:
    """Return the stored state of a session of one row, as `exact.history` does."""
    parts = (await service.states.read(key)).parts
    return [float(part.values[0, 0]) for part in parts]


def output(answer: StepResult) -> list[float]:
    """Return the last output of a session of one row."""
    assert answer.outputs is not None
    last: Sequence[float] = answer.outputs[-1, 0].tolist()
    return list(last)


def at(position: Position) -> Identity:
    """Return the identity of a request that names its position."""
    return Identity(position=position)


async def until(met: Callable[[], bool]) -> None:
    """Let the loop run until a condition is met; fail after 20 seconds."""
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met sets no event
            await asyncio.sleep(0.002)


async def until_longer(growing: Sequence[object], by: int) -> None:
    """Wait until so many more are in a list."""
    enough = len(growing) + by
    await until(lambda: len(growing) >= enough)


async def until_queued(service: Service, count: int) -> None:
    """Wait until so many requests wait for the kernel, behind a call that does not end."""
    # nothing of the service itself needs to know this, so it is not told to the public
    served = service.sessions._scheduler.models._served.values()
    await until(lambda: sum(len(each.batcher._steps) + len(each.batcher._sequences) for each in served) == count)
