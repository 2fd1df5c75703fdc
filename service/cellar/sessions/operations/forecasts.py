"""Forecasts of sessions: computed from their newest committed state, which stays as it is.

Steps of the session may be in flight: a forecast neither waits for them nor delays their commits. It is computed in
short parts on the threads of the kernels, so that steps are computed between them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import Floats, SessionKey, SessionRecord, SessionStore
from cellar.sessions.execution.kernel_batch import CALL_ROW_STEPS
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import model_deleted
from cellar.sessions.values.model_protocol import Model
from cellar.wire.arrays import state as state_bytes

NUMBER_BYTES = 64
"""The memory of a value of a path: it is kept in float64, sorted, and answered as text."""

STATE_TIMES = 5
"""How often the states and outputs of paths are in memory at most: before and after a step, and in its call."""


class Rollout(Protocol):
    """A forecast that is computed in steps."""

    def advance(self) -> bool:
        """Compute the next step. Return whether there are more."""

    def result(self) -> Any:
        """Return the forecast."""


Begin = Callable[[Model, SessionRecord, Floats], Rollout]
"""Begin a forecast of a model from the states (rows, state_size) of a session."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a forecast."""

    horizon: int
    paths: int
    targets: int


@dataclass(frozen=True, slots=True)
class Work:
    """The size of a backtest: the steps that are run, and the numbers that are kept."""

    steps: int
    numbers: int


class Forecasts:
    """Computes forecasts of sessions. Raises as `Sessions`, and Overloaded if too many are computed."""

    def __init__(
        self, sessions: Sessions, store: SessionStore, open_table: Callable[[str, str], Any], *, max_steps: int
    ) -> None:
        """`open_table` returns the table of a dataset, and `max_steps` is the most rows x paths x horizon."""
        self._sessions, self._store, self._open_table = sessions, store, open_table
        self._max_steps, self._limit = max_steps, ConcurrencyLimit(what="forecasts")

    async def forecast(
        self, key: SessionKey, extent_of: Callable[[Model], Extent], begin: Begin
    ) -> tuple[SessionRecord, Any]:
        """Return the session from which a forecast was made, and the result of the rollout."""
        record = await self._store.load(key)
        if record.meta.deleted is not None:
            raise model_deleted(record.meta.model)
        record = await self._sessions.recover(record)
        model = (await self._sessions.models.fetch(key.tenant, record.meta)).model
        sizes, extent = model.network.network, extent_of(model)
        rows = record.meta.batch_size * extent.paths
        self._check(rows, extent)
        needed = NUMBER_BYTES * rows * extent.horizon * extent.targets
        needed += STATE_TIMES * 4 * rows * (sizes.state_size + sizes.in_size + sizes.out_size)
        state = state_bytes.load(record.state, record.meta.batch_size, sizes.state_size)
        async with self._limit.slot(), self._sessions.memory.room_for(needed, 1):
            return record, await self._run(model, record, state, begin, rows)

    async def _run(self, model: Model, record: SessionRecord, state: Floats, begin: Begin, rows: int) -> Any:
        loop, kernels = asyncio.get_running_loop(), self._sessions.kernels
        rollout = await loop.run_in_executor(kernels, begin, model, record, np.ascontiguousarray(state))
        return await self._finish(rollout, max(1, CALL_ROW_STEPS // rows))

    async def backtest(
        self, tenant: str, model: str, dataset: str, begin: Callable[[Model, Any], tuple[Rollout, Work]]
    ) -> tuple[Model, Any]:
        """Return a model and the result of its backtest on a dataset, which `begin` makes of both.

        Raise DatasetUnknown, ModelUnknown, or InvalidInput for more than `max_steps`.
        """
        ref, _ = await self._sessions.aliases.resolve(tenant, model)
        loaded = await self._sessions.models.resolve(tenant, ref)
        table = await asyncio.to_thread(self._open_table, tenant, dataset)
        self._check_backtest(table.rows)  # before its data are read
        async with self._limit.slot():
            run, work = await asyncio.to_thread(begin, loaded, table)
            self._check_backtest(work.steps)
            async with self._sessions.memory.room_for(NUMBER_BYTES * work.numbers, 1):
                return loaded, await self._finish(run, 1)

    async def _finish(self, run: Rollout, most: int) -> Any:
        """Compute up to `most` steps at a time on a thread of the kernels, and return the result."""
        loop, kernels = asyncio.get_running_loop(), self._sessions.kernels
        while await loop.run_in_executor(kernels, _advance, run, most):
            pass
        return await loop.run_in_executor(kernels, run.result)

    def _check_backtest(self, steps: int) -> None:
        if steps > self._max_steps:
            raise InvalidInput(
                "the backtest is too large to be answered at once (CELLAR_MAX_FORECAST_STEPS): send it to"
                " /v1/backtests, and a worker runs it",
                pointer="/stride",
                expected=f"at most {self._max_steps} rows of data and rows x paths x horizon of forecasts",
                actual=str(steps),
            )

    def _check(self, rows: int, extent: Extent) -> None:
        if rows * extent.horizon > self._max_steps:
            raise InvalidInput(
                "the forecast is too large (CELLAR_MAX_FORECAST_STEPS)",
                pointer="/paths" if extent.paths > 1 else "/horizon",
                expected=f"at most {self._max_steps} rows x paths x horizon",
                actual=f"{rows // extent.paths} x {extent.paths} x {extent.horizon}",
            )


def _advance(rollout: Rollout, most: int) -> bool:
    """Compute up to `most` steps. Return whether there are more."""
    return all(rollout.advance() for _ in range(most))
