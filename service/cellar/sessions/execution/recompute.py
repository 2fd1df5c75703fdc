"""Runs stored steps again, outside of the event loop and of the micro-batches."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor

import numpy as np

from cellar.errors import ShapeMismatch, StoreCorrupt
from cellar.ports import Floats, Mask, RowFlags
from cellar.sessions.execution.kernel_batch import BAD, CALL_ROW_STEPS, CHUNK_STEPS, most_row_steps
from cellar.sessions.execution.row_schedule import Ints, RowSchedule
from cellar.sessions.values.learning import again, restarted
from cellar.sessions.values.model_protocol import Network, Run
from cellar.sessions.values.row_flags import resets_only, without_end
from cellar.wire.arrays import state as state_bytes


class Recompute:
    """Steps a network from a state, in short chunks, so that kernel threads stay free for steps of other requests."""

    def __init__(self, network: Network, state: bytes, rows: int, kernels: Executor) -> None:
        expected = 4 * rows * network.network.state_size
        if len(state) != expected:
            raise StoreCorrupt(f"a kept state has {len(state)} bytes instead of {expected}")
        self._network = network
        self._rows = rows
        self._kernels = kernels
        self.state = state
        """The present state: float32, (rows, state_size)."""

    def learn(self, kind: str, data: bytes) -> None:
        """Learn logged targets again, or forget what was learnt, as `kind` says."""
        self.state = again(kind, self.state, data, self._network)

    def reset(self, rows: Mask | None) -> None:
        """Put all rows, or those under the mask, into the initial state. What a session has learnt stays."""
        if (rows is None or rows.all()) and (kept := restarted(self.state, self._network)) is not None:
            self.state = kept
            return
        initial = self._network.initial_state(self._rows)
        if rows is not None:
            state = state_bytes.load(self.state, self._rows, self._network.network.state_size).copy()
            state[rows] = initial[rows]
            initial = state
        self.state = state_bytes.dump(initial)

    async def run(self, inputs: Floats, flags: RowFlags | None) -> None:
        """Step over `inputs` and drop the outputs. Raise as `outputs`."""
        async for _ in self.outputs(inputs, flags):
            pass

    async def outputs(self, inputs: Floats, flags: RowFlags | None) -> AsyncIterator[Floats]:
        """Step over `inputs` (T, rows, in_size) and yield the outputs, (T, rows, out_size) in parts of T.

        `flags` are those of the first steps, perhaps of more steps than these. Outputs of rows that are left out are
        NaN. Raise ShapeMismatch, StateNotFinite or OutputNotFinite.
        """
        sizes = self._network.network
        if inputs.shape[2] != sizes.in_size:
            raise ShapeMismatch(
                "the logged inputs do not fit the model",
                expected=f"{sizes.in_size} (in_size)",
                actual=str(inputs.shape[2]),
            )
        sizes.check_inputs(inputs)
        if sizes.whole_sequences:
            most = len(inputs)
            if most * self._rows > most_row_steps(sizes):
                raise ShapeMismatch("a logged sequence is too long for the model")
        else:
            most = min(CHUNK_STEPS, max(1, CALL_ROW_STEPS // self._rows))
        loop = asyncio.get_running_loop()
        flags = None if flags is None else without_end(flags[: len(inputs)])
        if flags is not None and not resets_only(flags):
            schedule = RowSchedule(inputs, flags, self.state)
            await loop.run_in_executor(self._kernels, self._run_scheduled, schedule, most)
            while schedule.left:
                await loop.run_in_executor(self._kernels, self._run_scheduled, schedule, most)
            self.state = schedule.whole_state
            yield schedule.outputs
            return
        reset = None if flags is None else flags[0].view(np.bool_)
        for start in range(0, len(inputs), most):
            chunk = inputs[start : start + most]
            run = await loop.run_in_executor(self._kernels, self._run, chunk, self.state, None if start else reset)
            self.state = run.state.tobytes()
            yield run.outputs

    def _run_scheduled(self, schedule: RowSchedule, most: int) -> None:
        inputs, reset = schedule.begin(most)
        run = self._run(inputs, schedule.state, reset, schedule.lengths)
        schedule.end(run.outputs, run.state)

    def _run(self, chunk: Floats, state: bytes, reset: Mask | None, lengths: Ints | None = None) -> Run:
        run = self._network.run(chunk, (state,), lengths, reset=reset, executor=self._kernels)
        if run.bad_step is not None and run.bad_kind is not None and (run.bad_step >= 0).any():
            kind = int(run.bad_kind[run.bad_step >= 0][0])
            what, error = BAD[kind]
            raise error(f"a logged step {what}")
        return run
