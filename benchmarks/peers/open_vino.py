"""Runs a case in OpenVINO, with one request that is used again on its own tensors."""

from typing import Any

import numpy as np
import openvino
from openvino import properties

from benchmarks.cases import Case
from benchmarks.peers.onnx_model import model, state_names
from benchmarks.runner import Runner
from benchmarks.weights import Array, Weights

_CORE = openvino.Core()


def runners(case: Case, weights: Weights, threads: int) -> list[Runner]:
    """Return the runner in a list."""
    settings = {
        properties.inference_num_threads(): threads,
        properties.num_streams(): 1,
        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        properties.hint.inference_precision(): openvino.Type.f32,
    }
    compiled = _CORE.compile_model(_CORE.read_model(model(case, weights)), "CPU", settings)
    return [_Request(case, compiled.create_infer_request())]


class _Request:
    """A runner with `request.infer`: inputs are copied into the tensors of the request, outputs out of them.

    Passing arrays instead takes five times as long with 32 hidden units.
    """

    name = "openvino"

    def __init__(self, case: Case, request: Any) -> None:
        before, after = state_names(case)
        self._request = request
        self._layers = case.layers
        self._x, *self._states_in = (request.get_tensor(name).data for name in ("x", *before))
        self._y, *self._states_out = (request.get_tensor(name).data for name in ("y", *after))

    def begin(self, states: Array) -> list[Array]:
        """Return the states (1, B, hidden) of all layers, one after the other."""
        return list(states.reshape(-1, 1, *states.shape[2:]).copy())

    def states(self, state: list[Array]) -> Array:
        """Return them as one array again."""
        return np.stack(state).reshape(self._layers, -1, *state[0].shape[1:])

    def step(self, inputs: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        """Run once."""
        self._x[:] = inputs
        for place, array in zip(self._states_in, state, strict=True):
            place[:] = array
        self._request.infer(share_outputs=True)
        return self._y.copy(), [place.copy() for place in self._states_out]
