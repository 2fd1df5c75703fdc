"""Runs a case in ONNX Runtime, with a dictionary of arrays and with memory that was bound once."""

from typing import Any

import numpy as np
import onnxruntime

from benchmarks.cases import Case
from benchmarks.peers.onnx_model import model, state_names
from benchmarks.runner import Runner
from benchmarks.weights import Array, Weights


def runners(case: Case, weights: Weights, threads: int) -> list[Runner]:
    """Return the runners of both ways, on one session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(model(case, weights), options, providers=["CPUExecutionProvider"])
    return [_Dictionary(case, session), _Bound(case, session)]


class _States:
    """The common part of both ways: states are carried as a list of (1, B, hidden)."""

    def __init__(self, case: Case, session: Any) -> None:
        self._session = session
        self._layers = case.layers
        self._before, self._after = state_names(case)

    def begin(self, states: Array) -> list[Array]:
        """Return the states of all layers, one after the other."""
        return list(states.reshape(-1, 1, *states.shape[2:]).copy())

    def states(self, state: list[Array]) -> Array:
        """Return them as one array again."""
        return np.stack(state).reshape(self._layers, -1, *state[0].shape[1:])


class _Dictionary(_States):
    """A runner with `session.run`."""

    name = "onnxruntime"

    def __init__(self, case: Case, session: Any) -> None:
        super().__init__(case, session)
        self._outputs = ["y", *self._after]

    def step(self, inputs: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        """Run once."""
        feed = {"x": inputs, **dict(zip(self._before, state, strict=True))}
        outputs, *after = self._session.run(self._outputs, feed)
        return outputs, after


class _Bound(_States):
    """A runner with `run_with_iobinding`: inputs are copied into bound arrays, outputs out of them."""

    name = "onnxruntime bound"

    def __init__(self, case: Case, session: Any) -> None:
        super().__init__(case, session)
        binding = session.io_binding()
        places: dict[str, Array] = {}
        for value in (*session.get_inputs(), *session.get_outputs()):
            places[value.name] = np.zeros(value.shape, np.float32)
        for name in ("x", *self._before):
            binding.bind_input(name, "cpu", 0, np.float32, places[name].shape, places[name].ctypes.data)
        for name in ("y", *self._after):
            binding.bind_output(name, "cpu", 0, np.float32, places[name].shape, places[name].ctypes.data)
        self._binding = binding
        self._x, self._y = places["x"], places["y"]
        self._states_in = [places[name] for name in self._before]
        self._states_out = [places[name] for name in self._after]

    def step(self, inputs: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        """Run once."""
        self._x[:] = inputs
        for place, array in zip(self._states_in, state, strict=True):
            place[:] = array
        self._session.run_with_iobinding(self._binding)
        return self._y.copy(), [place.copy() for place in self._states_out]
