"""Computes the present state of a session whose last commits stored the inputs of their steps in place of the state."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from cellar.errors import ModelDeleted
from cellar.ports import Floats, RedoEntry, RowFlags, SessionRecord
from cellar.sessions.execution.model_cache import ModelCache
from cellar.sessions.execution.recompute import Recompute
from cellar.sessions.values.limits import SessionLimits
from cellar.sessions.values.model_protocol import Network

RECOVERED = 2**31
"""`SessionRecord.unstored` of a recovered session: more than any limit, so that its next commit stores the state. If
several processes step a session in turn, each then runs few steps again."""


class StateRecovery:
    """Recovers states of sessions on the models that have run their steps."""

    def __init__(self, models: ModelCache, kernels: Executor, limits: SessionLimits) -> None:
        self._models = models
        self._kernels = kernels
        self._limits = limits

    async def recover(self, record: SessionRecord) -> SessionRecord:
        """Return a session with its present state; as it is, with `redo`, if that cannot be computed.

        That is so if its model was deleted, or if it is pinned to another revision of the arithmetic.
        """
        meta = record.meta
        if not record.redo or meta.deleted is not None:
            return record
        if meta.kernel_rev != self._limits.kernel_rev and not self._limits.any_revision:
            return record
        try:
            served = await self._models.fetch(record.key.tenant, meta)
        except ModelDeleted:
            return record
        return await self.run(record, served.model.network)

    async def run(self, record: SessionRecord, network: Network) -> SessionRecord:
        """Return a session with the state to which a network comes. Raise as `Recompute.outputs`, or ModelDeleted."""
        recompute = Recompute(network, record.state, record.meta.batch_size, self._kernels)
        for inputs, flags in _sequences(record, whole_sequences=network.network.whole_sequences):
            await recompute.run(inputs, flags)
        return replace(record, state=recompute.state, redo=(), unstored=RECOVERED)


def _sequences(record: SessionRecord, *, whole_sequences: bool) -> Iterator[tuple[Floats, RowFlags | None]]:
    """Yield the inputs (T, rows, in_size) of stored steps, and their flags. Consecutive ones are joined if possible."""
    rows, some = record.meta.batch_size, list[RedoEntry]()
    for entry in [entry for entry in record.redo if entry.steps]:
        if some and (entry.row_flags or whole_sequences):
            yield _join(some, rows)
            some = []
        some.append(entry)
    if some:
        yield _join(some, rows)


def _join(entries: Sequence[RedoEntry], rows: int) -> tuple[Floats, RowFlags | None]:
    """Return entries as one sequence; only the first of them may have flags."""
    steps, flags = sum(entry.steps for entry in entries), entries[0].row_flags
    inputs = np.frombuffer(b"".join([entry.inputs for entry in entries]), "<f4").reshape(steps, rows, -1)
    return inputs, np.frombuffer(flags, np.uint8).reshape(-1, rows) if flags else None
