"""A network with readings, a forecast, or both, whose sessions learn the layers between them.

Readings are made to features, the trunk answers scaled numbers with what the session has learnt, and the forecast layer
scales them back, as in the network itself: its equations are computed here over known outputs, with the same bits.
Targets come in the units of the forecast, are learnt in its scale, and are kept and measured as they came.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats, Ints, Mask, Run, States, joined_state
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.session_scales import shifts_of, state_of
from cellar.nn.forecasting.widths import Adapting, readings_of
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.learning.spec import Learning, RlsSpec

Flags = NDArray[np.bool_]

LEAST = np.float32(2.0**-63)
"""Smaller states are 0."""

OUTPUT_NOT_FINITE = 2


class ForecastLearner(LearningNetwork):
    """The network of a version for sessions that learn its trunk. Safe to share between threads."""

    def __init__(
        self, bound: BoundNetwork, learning: Learning, trunk: LearningNetwork, readings: BoundNetwork | None
    ) -> None:
        """`trunk` learns the layers between. `readings` are the first layer, with the scales of sessions, if any."""
        super().__init__(bound, learning)
        self._trunk, self._readings = trunk, readings
        self._forecast = bound.network.forecast
        self._delta_shape = trunk._delta_shape
        begin = 0 if readings is None else readings.network.state_size
        self._own = slice(begin, begin + trunk.layout.base)
        """The states of the trunk in a row of the state."""

    @property
    def size_bytes(self) -> int:
        """The memory of the weights."""
        return self._trunk.size_bytes + (0 if self._readings is None else self._readings.size_bytes)

    @cached_property
    def flops(self) -> int:
        """The number of floating-point operations of a step of one row."""
        return self._trunk.flops + self._bound.flops

    def _run(
        self, executor: Executor | None, inputs: Floats, state: States, lengths: Ints | None, reset: Mask | None
    ) -> Run:
        """Step T times."""
        steps, rows, _ = inputs.shape
        before = state if isinstance(state, np.ndarray) else joined_state(tuple(state), rows, self.layout.state_size)
        after: Floats = np.array(before, dtype=np.float32, order="C")
        features, scales = inputs, None
        bad_step, bad_kind = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
        if self._readings is not None:
            first = self._readings.run(inputs, np.ascontiguousarray(after[:, : self._own.start]), lengths, reset=reset)
            after[:, : self._own.start] = first.state
            count = self._trunk.network.in_size
            features, scales = np.ascontiguousarray(first.outputs[..., :count]), first.outputs[..., count:]
            _mark(bad_step, bad_kind, first)
        run = self._trunk.run(features, self._of_trunk(after), lengths, reset=reset, executor=executor)
        self._put_trunk(after, run.state)
        _mark(bad_step, bad_kind, run)
        outputs = run.outputs
        if self._forecast is not None:
            if reset is not None:
                at = slice(self._own.stop, self.layout.base)
                after[reset, at] = self._bound.initial[0, at]
            ends = np.full(rows, steps) if lengths is None else np.asarray(lengths)
            outputs = self._scaled_back(inputs, outputs, scales, after, ends)
            with np.errstate(invalid="ignore"):
                wrong: Flags = ~np.asarray(np.isfinite(outputs).all(axis=2))
            for row in np.flatnonzero(wrong.any(axis=0) & (bad_step < 0)).tolist():
                bad_step[row], bad_kind[row] = int(wrong[:, row].argmax()), OUTPUT_NOT_FINITE
        is_good = bool((bad_step < 0).all())
        return Run(outputs, after, None if is_good else bad_step, None if is_good else bad_kind)

    def _of_trunk(self, state: Floats) -> Floats:
        """Return the state of the trunk, with the block, in states (rows, state_size)."""
        return np.concatenate([state[:, self._own], state[:, self.layout.base :]], axis=1)

    def _put_trunk(self, state: Floats, own: Floats) -> None:
        base = self._own.stop - self._own.start
        state[:, self._own], state[:, self.layout.base :] = own[:, :base], own[:, base:]

    # --- the forecast layer over known outputs

    def _scaled_back(self, inputs: Floats, scaled: Floats, scales: Floats | None, state: Floats, ends: Ints) -> Floats:
        """Return outputs in units of the targets, 0 behind the end of a row; `state` is moved to that after them."""
        layer, network = self._forecast, self._bound.network
        assert layer is not None
        scale, shift, kept = self._scales(scales)
        with np.errstate(over="ignore", invalid="ignore"):
            raw: Floats = scale * scaled + shift
        taken = np.arange(len(raw))[:, None] < ends
        raw[~taken] = 0
        widths = Adapting.of(network, state)
        if widths is not None:
            readings, present = readings_of(network, inputs)
            for step in range(len(raw)):
                widths.step(readings[step], present[step], raw[step], taken[step], None if kept is None else kept[step])
            for name, values in widths.states.items():
                state_of(network, state, name, network.layers[-1].number)[:] = _kept(values)
        rows = np.flatnonzero(ends)
        last = np.asarray(ends)[rows] - 1
        state_of(network, state, "last", network.layers[-1].number)[rows] = _kept(raw[last, rows])
        if kept is not None:
            state_of(network, state, "scale", network.layers[-1].number)[rows] = _kept(kept[last, rows])
        return raw

    def _scales(self, scales: Floats | None) -> tuple[Floats, Floats, Floats | None]:
        """Return scale and shift of each output, and the scales of the targets if sessions keep them (T, rows, n)."""
        layer = self._forecast
        assert layer is not None
        if not layer.session_scale:
            return *layer.scales, None
        assert self._bound.network.readings is not None
        assert scales is not None
        found = layer.scale_in(self._bound.network.readings.layout)
        assert found is not None
        of_columns, of_shifts = np.split(scales, 2, axis=-1)
        kept, shift = (found.units * each[..., [*found.columns]] for each in (of_columns, of_shifts))
        repeated = (1, 1, layer.horizon)
        return np.tile(kept, repeated), np.tile(shift, repeated), kept

    # --- what is learnt

    def learn(self, state: bytes, places: Sequence[int], targets: Floats) -> bytes:
        """Return the state after targets (n, outputs) of steps, in units of the forecast."""
        after = np.frombuffer(bytearray(state), np.float32).reshape(1, -1)
        before = after[0, self.layout.base :].copy()
        scale, shift = self._present_scale(after)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.ascontiguousarray((targets.astype(np.float64) - shift) / scale, np.float32)
        own = self._trunk.learn(self._of_trunk(after).tobytes(), places, np.clip(scaled, -3e38, 3e38))
        self._put_trunk(after, np.frombuffer(own, np.float32).reshape(1, -1))
        self._measure(after[0, self.layout.base :], before, places, targets, (scale, shift))
        return after.tobytes()

    def _present_scale(self, state: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return scale and shift of each output, those of the session as they are now."""
        layer, network = self._forecast, self._bound.network
        if layer is None:
            return np.ones(self._learning.outputs), np.zeros(self._learning.outputs)
        if layer.session_scale:
            scale = state_of(network, state, "scale", network.layers[-1].number)[0]
            shift = shifts_of(network, state)[0]
            scale = np.where(scale > 0, scale, np.float32(1))
            return np.tile(scale.astype(np.float64), layer.horizon), np.tile(shift.astype(np.float64), layer.horizon)
        return layer.scales[0].astype(np.float64), layer.scales[1].astype(np.float64)

    def _measure(
        self,
        block: Floats,
        before: Floats,
        places: Sequence[int],
        targets: Floats,
        scale: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        """Keep targets as they came, and set the running mean squared errors to those in units of the forecast."""
        spec, outputs, window = self._learning.spec, self._learning.outputs, block[self.layout.steps]
        forgetting = spec.forgetting if isinstance(spec, RlsSpec) else 1.0
        numbers, weight = window.reshape(self.layout.window, -1), float(before[4])
        errors = [float(before[5]), float(before[6])]
        for ago, target in zip(places, targets, strict=True):
            place = numbers[(int(block[0]) - ago) % self.layout.window]
            weight = forgetting * weight + 1
            for index, end in ((0, -1 - 2 * outputs), (1, -1 - outputs)):
                given = place[end - outputs : end].astype(np.float64) * scale[0] + scale[1]
                squared = min(float(np.cumsum((target.astype(np.float64) - given) ** 2)[-1]) / outputs, 3e38)
                errors[index] += (squared - errors[index]) / weight
            place[-1 - outputs : -1] = target
        block[5], block[6] = errors

    def restarted(self, state: bytes) -> bytes:
        """Return the initial state with what the session has learnt; with bptt no step waits for a target."""
        found = super().restarted(state)
        return found if isinstance(self._learning.spec, RlsSpec) else self.reopened(found)


def _mark(bad_step: Ints, bad_kind: Ints, run: Run) -> None:
    """Note the first step of each row that was not finite in a part of the network."""
    if run.bad_step is None:
        return
    kinds = np.full(len(bad_step), OUTPUT_NOT_FINITE) if run.bad_kind is None else run.bad_kind
    new = (run.bad_step >= 0) & (bad_step < 0)
    bad_step[new], bad_kind[new] = run.bad_step[new], np.asarray(kinds)[new]


def _kept(values: Floats) -> Floats:
    """Return a state as it is written."""
    return np.where(np.abs(values) < LEAST, np.float32(0), values)
