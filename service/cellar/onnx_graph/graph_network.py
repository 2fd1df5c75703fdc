"""A hosted graph that runs: implements the protocols of `cellar.sessions.values.model_protocol` with ONNX Runtime."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import CompileFailed
from cellar.onnx_graph.element_types import Array, Floats
from cellar.onnx_graph.layout import GraphSizes
from cellar.onnx_graph.runtime import RUN_LIMIT, open_session
from cellar.onnx_graph.spec import HostedGraph

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int32]

FLOPS_A_S = 40e9
"""Operations that a kernel of cells makes in a second: the measured time of a step is given as operations, by which
sessions decide whether a thread is worth its while."""
UNBOUNDED_FLOPS = 10**8
"""Of a step that may take any time: it is always run on a thread."""
MEASURED_STEPS = 5

STATE_NOT_FINITE, OUTPUT_NOT_FINITE, STEP_FAILED = 1, 2, 3
"""The kinds of bad steps."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of T steps of B rows."""

    outputs: Floats
    state: Floats
    bad_step: Numbers | None = None
    bad_kind: Numbers | None = None


def open_graph(graph: HostedGraph, data: bytes) -> "GraphNetwork":
    """Return a graph ready to run. Raise CompileFailed if ONNX Runtime is not installed, or does not take it."""
    try:
        return GraphNetwork(graph, open_session(data))
    except ImportError as error:
        raise CompileFailed(
            "the model is a graph that ONNX Runtime runs, which is not installed here: pip install 'cellar-serve[onnx]'"
        ) from error
    except Exception as error:  # ONNX Runtime has errors of many kinds, without a common class
        text = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise CompileFailed(f"ONNX Runtime does not load the graph: {text}") from error


class GraphNetwork:
    """A graph in a session of ONNX Runtime. Immutable, and used by several threads at a time."""

    def __init__(self, graph: HostedGraph, session: Any) -> None:
        self.graph = graph
        self.network = GraphSizes(graph)
        self._session = session
        self._fixed = {
            constant.name: np.asarray(constant.value, constant.kind.dtype).reshape(constant.row_shape)
            for constant in graph.constants
        }
        self._outputs = [*(tensor.name for tensor in graph.outputs), *(state.output for state in graph.states)]
        self._inputs = [(place.spec.name, place) for place in self.network.inputs]
        self._states = [(place.spec.name, place) for place in self.network.states]
        self._real = [(place.spec.name, place) for place in self.network.states if place.kind.is_real]
        self._shared = [place.columns for place in self.network.inputs if place.is_shared]
        self._whole_output = len(graph.outputs) == 1

    @cached_property
    def flops(self) -> int:
        """The measured time of a step of one row, in operations that kernels make in that time."""
        if not self.graph.bounded:
            return UNBOUNDED_FLOPS
        inputs = np.zeros((1, 1, self.network.in_size), np.float32)
        state = (self.initial_state(1).tobytes(),)
        times = []
        for _ in range(MEASURED_STEPS):
            began_s = time.perf_counter()
            self.advance(inputs, state, None, None)
            times.append(time.perf_counter() - began_s)
        return max(1, int(min(times) * FLOPS_A_S))

    @property
    def code(self) -> None:
        """A graph shares its calls with no other model."""

    def rows(self, count: int) -> bytes:  # noqa: ARG002  # without `code` there is no call to name them in
        """Return nothing."""
        return b""

    def initial_state(self, rows: int) -> Floats:
        """Return zeros (rows, state_size)."""
        return np.zeros((rows, self.network.state_size), np.float32)

    def run(
        self,
        inputs: Floats,
        state: tuple[bytes, ...],
        lengths: Numbers | None = None,
        *,
        reset: Mask | None = None,
        executor: Executor | None = None,  # noqa: ARG002  # a run has one thread
    ) -> Run:
        """Run T steps: see `model_protocol.Network.run`. A row that fails keeps its state at that step."""
        return self.advance(inputs, state, lengths, reset)

    def advance(self, inputs: Floats, state: tuple[bytes, ...], lengths: Numbers | None, reset: Mask | None) -> Run:
        """Run as `run` does."""
        rows = inputs.shape[1]
        data = state[0] if len(state) == 1 else b"".join(state)
        before = np.frombuffer(data, np.float32).reshape(rows, self.network.state_size)
        if reset is not None:
            before = np.where(reset[:, None], np.float32(0), before)
        if rows == 1 and (lengths is None or lengths[0] == len(inputs)):
            return self._of_rows(inputs, before)
        if not self._may_share(inputs):
            return self._alone(inputs, before, lengths)
        return self._together(inputs, before, lengths)

    def _may_share(self, inputs: Floats) -> bool:
        """Return whether all rows may be in one run: inputs without an axis of rows must be the same in all of them."""
        return self.graph.micro_batches and all(
            bool((inputs[:, :, columns] == inputs[:, :1, columns]).all()) for columns in self._shared
        )

    def _alone(self, inputs: Floats, before: Floats, lengths: Numbers | None) -> Run:
        """Run each row by itself."""
        steps, rows, _ = inputs.shape
        outputs = np.zeros((steps, rows, self.network.out_size), np.float32)
        state = np.empty_like(before)
        bad_step, bad_kind = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
        for row in range(rows):
            length = steps if lengths is None else int(lengths[row])
            run = self._of_rows(np.ascontiguousarray(inputs[:length, row : row + 1]), before[row : row + 1])
            outputs[:length, row : row + 1], state[row] = run.outputs, run.state[0]
            if run.bad_step is not None and run.bad_kind is not None:
                bad_step[row], bad_kind[row] = run.bad_step[0], run.bad_kind[0]
        return Run(outputs, state, bad_step, bad_kind)

    def _together(self, inputs: Floats, before: Floats, lengths: Numbers | None) -> Run:
        """Run all rows together, as many at each step as have it."""
        if lengths is None:
            return self._of_rows(inputs, before)
        steps, rows, _ = inputs.shape
        outputs = np.zeros((steps, rows, self.network.out_size), np.float32)
        state = before.copy()
        bad_step, bad_kind = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
        begin = 0
        for end in sorted({int(length) for length in lengths if length > 0}):
            here = np.flatnonzero(lengths >= end)
            run = self._of_rows(np.ascontiguousarray(inputs[begin:end, here]), state[here])
            outputs[begin:end, here], state[here] = run.outputs, run.state
            if run.bad_step is not None and run.bad_kind is not None:
                fresh = here[(run.bad_step >= 0) & (bad_step[here] < 0)]
                of_run = np.searchsorted(here, fresh)
                bad_step[fresh], bad_kind[fresh] = run.bad_step[of_run] + begin, run.bad_kind[of_run]
            begin = end
        return Run(outputs, state, bad_step, bad_kind)

    def _of_rows(self, inputs: Floats, before: Floats) -> Run:
        """Run rows that all have every step: (T, b, in_size) and (b, state_size)."""
        steps, rows, _ = inputs.shape
        tensors = {name: place.state(before, rows) for name, place in self._states}
        outputs = np.empty((steps, rows, self.network.out_size), np.float32)
        bad_step = bad_kind = None
        for step in range(steps):
            try:
                found = self._call(inputs[step], tensors, rows)
                outputs[step] = self._answer(found, rows)
            except Exception:  # ONNX Runtime has errors of many kinds, without a common class
                if rows > 1:
                    return self._alone(inputs, before, None)
                outputs[step:] = 0
                return Run(outputs, self._record(tensors, rows), _one(step), _one(STEP_FAILED))
            tensors = dict(zip(tensors, found[len(self.network.outputs) :], strict=True))
            bad = self._bad(outputs[step], tensors, rows)
            if bad is not None:
                if bad_step is None or bad_kind is None:
                    bad_step, bad_kind = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
                fresh = (bad > 0) & (bad_step < 0)
                bad_step[fresh], bad_kind[fresh] = step, bad[fresh]
        return Run(outputs, self._record(tensors, rows), bad_step, bad_kind)

    def _call(self, inputs: Floats, tensors: Mapping[str, Array], rows: int) -> Sequence[Array]:
        """Run the graph on inputs (b, in_size). Raise the errors of ONNX Runtime."""
        feed = {**self._fixed, **tensors}
        for name, place in self._inputs:
            feed[name] = place.input(inputs, rows)
        if self.graph.bounded:
            return self._session.run(self._outputs, feed)  # type: ignore[no-any-return]  # onnxruntime is not typed
        with RUN_LIMIT.options() as options:
            # onnxruntime is not typed
            return self._session.run(self._outputs, feed, options)  # type: ignore[no-any-return]

    def _answer(self, found: Sequence[Array], rows: int) -> Array:
        """Return the outputs (b, out_size) of a run. Raise ValueError if one is of another size than it was."""
        if self._whole_output:
            return self.network.outputs[0].elements(found[0], rows)
        parts = [place.elements(value, rows) for value, place in zip(found, self.network.outputs, strict=False)]
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")

    def _record(self, tensors: Mapping[str, Array], rows: int) -> Floats:
        """Return the states of rows as a session keeps them (b, state_size)."""
        parts = [place.words(tensors[name], rows) for name, place in self._states]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, axis=1) if parts else np.empty((rows, 0), np.float32)

    def _bad(self, outputs: Floats, tensors: Mapping[str, Array], rows: int) -> Numbers | None:
        """Return the kind of what is not finite in each row, 0 for nothing; None if everything is finite."""
        # a list is faster for a few
        if np.isfinite(outputs).all() and all([np.isfinite(tensors[name]).all() for name, _ in self._real]):  # noqa: C419
            return None
        bad = np.where(np.isfinite(outputs).all(axis=1), 0, OUTPUT_NOT_FINITE).astype(np.int32)
        for name, place in self._real:
            bad[~np.isfinite(place.elements(tensors[name], rows)).all(axis=1)] = STATE_NOT_FINITE
        return bad


def _one(value: int) -> Numbers:
    return np.array([value], np.int32)
