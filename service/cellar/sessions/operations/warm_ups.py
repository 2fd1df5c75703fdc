"""Creates sessions in the state after rows of a dataset, as if the rows had been sent as steps.

The rows are run in short parts on the threads of the kernels, so that steps of other sessions are computed between
them. The session is created when the last row was run: before, there is nothing of it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import Floats, SessionKey
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.service.options import SessionOptions, new_name
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Model
from cellar.sessions.values.results import CreateAnswer
from cellar.wire.arrays import state as state_bytes


class WarmUp(Protocol):
    """Rows that are run in parts."""

    rows: int

    def advance(self) -> bool:
        """Run the next part. Return whether there are more."""

    def state(self) -> Floats:
        """Return the state (1, state_size) after the rows that were run."""


Begin = Callable[[Model, Any], WarmUp]
"""Begin the warm-up of a model on a table. Raise InvalidInput if they do not fit."""


@dataclass(frozen=True, slots=True)
class WarmUps:
    """Creates sessions whose state is that after rows of a dataset. Raises as `Sessions.create`."""

    sessions: Sessions
    open_table: Callable[[str, str], Any]
    """Return the table of a tenant's dataset. Raise DatasetUnknown."""
    max_rows: int
    limit: ConcurrencyLimit = field(default_factory=partial(ConcurrencyLimit, what="warm-ups"))

    async def create(
        self, tenant: str, model: str, session: str | None, options: SessionOptions, dataset: str, begin: Begin
    ) -> CreateAnswer:
        """Create a session as `Sessions.create`, in the state after rows of a dataset, the same for all of its rows.

        Raise DatasetUnknown, Overloaded if too many are computed, or the errors of `begin` and of the rows.
        """
        sessions = self.sessions
        options.check(sessions.max_batch_size)
        name = new_name(session)
        ref, alias = await sessions.aliases.resolve(tenant, model)
        loaded = await sessions.models.resolve(tenant, ref, options.learning)
        sessions.check_options(loaded, options)
        table = await asyncio.to_thread(self.open_table, tenant, dataset)
        state = np.repeat(await self._run(loaded, table, begin), options.batch_size, axis=0)
        record = sessions.new_record(SessionKey(tenant, name), options, loaded, alias, state_bytes.dump(state))
        return sessions.answer_of(record, await sessions.admit(record, "write"), model)

    async def _run(self, model: Model, table: Any, begin: Begin) -> Floats:
        loop, kernels = asyncio.get_running_loop(), self.sessions.kernels
        async with self.limit.slot():
            run = await loop.run_in_executor(kernels, begin, model, table)
            if run.rows > self.max_rows:
                raise InvalidInput(
                    "the warm-up has too many rows (CELLAR_MAX_FORECAST_STEPS)",
                    pointer="/warm_up/rows",
                    expected=f"at most {self.max_rows}",
                    actual=str(run.rows),
                )
            while await loop.run_in_executor(kernels, run.advance):
                pass
            return run.state()
