"""Widths of intervals that adapt: their factors in states, and the equations of the forecast layer over known outputs.

The factors between the steps of one call are in no state that the call answers. Here they are computed again from its
inputs and outputs, with the operations of `nn.model.interval_widths` in float32: they have the same bits.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.forecasting.session_scales import state_of
from cellar.nn.model.interval_widths import LEAST, MOST, Widths, places_of
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.network import Network

Flags = NDArray[np.bool_]

ONE = np.float32(1)


def own_state(network: Network, state: Floats, name: str) -> Floats:
    """Return a state (rows, size) of the forecast layer in states (rows, state_size)."""
    return state_of(network, state, name, network.layers[-1].number)


def factors_of(network: Network, state: Floats) -> Floats | None:
    """Return the factors (rows, horizon, targets) in states (rows, state_size); None if no width adapts."""
    layer = network.forecast
    if layer is None or layer.residuals is None or layer.residuals.adaptation is None:
        return None
    return own_state(network, state, "factor").reshape(len(state), layer.horizon, len(layer.targets))


class Adapting:
    """The factors of some rows, which steps move."""

    def __init__(self, layer: ForecastSpec, widths: Widths, factors: Floats, kept: Floats, left: Floats) -> None:
        """`factors`, `kept` and `left` are states (rows, horizon x targets)."""
        self._layer, self._widths = layer, widths
        self._factor, self._kept, self._left = factors.copy(), kept.copy(), left.copy()

    @classmethod
    def new(cls, layer: ForecastSpec, rows: int) -> "Self | None":
        """Return the factors of new sessions; None if no width adapts."""
        widths = layer.widths
        if widths is None:
            return None
        zeros: Floats = np.zeros((rows, layer.out_size), np.float32)
        return cls(layer, widths, np.tile(widths.factors, (rows, 1)), zeros, zeros)

    @classmethod
    def of(cls, network: Network, state: Floats) -> "Self | None":
        """Return the factors in states (rows, state_size); None if no width adapts."""
        widths = None if network.forecast is None else network.forecast.widths
        if network.forecast is None or widths is None:
            return None
        return cls(network.forecast, widths, *(own_state(network, state, name) for name in ("factor", "kept", "left")))

    @property
    def factors(self) -> Floats:
        """The factors (rows, horizon, targets)."""
        return self._factor.reshape(len(self._factor), self._layer.horizon, -1).copy()

    @property
    def states(self) -> dict[str, Floats]:
        """The states of the forecast layer that move with the factors, by name."""
        return {"factor": self._factor, "kept": self._kept, "left": self._left}

    def begin_again(self, rows: Flags) -> None:
        """Set these rows to the state of a new session."""
        self._factor[rows] = self._widths.factors
        self._kept[rows] = self._left[rows] = 0

    def step(
        self,
        readings: Floats,
        present: Flags,
        outputs: Floats,
        rows: Flags | None = None,
        scales: Floats | None = None,
    ) -> None:
        """Take the readings (rows, targets) of a step, and its outputs (rows, horizon x targets), in units of targets.

        Only `rows` are moved. Missing readings are any numbers. `scales` (rows, targets) are those of the sessions.
        """
        own, horizon = self._widths, self._layer.horizon
        if scales is None:
            d = np.tile(readings, (1, horizon)) - (self._kept + own.centre)
        else:
            d = (np.tile(readings, (1, horizon)) - self._kept) / np.tile(scales, (1, horizon)) - own.centre
        due = (self._left == 1) & np.tile(present, (1, horizon))
        outside = np.maximum(d - self._factor * own.high, -d - self._factor * own.low) > 0
        moved = self._factor * (ONE + (outside * own.grow - own.shrink))
        factor = np.where(due, np.clip(moved, np.float32(LEAST), np.float32(MOST)), self._factor)
        ended = self._left <= 1
        kept, left = np.where(ended, outputs, self._kept), np.where(ended, own.steps, self._left - ONE)
        if rows is not None:
            factor, kept, left = (
                np.where(rows[:, None], new, old)
                for new, old in ((factor, self._factor), (kept, self._kept), (left, self._left))
            )
        self._factor, self._kept, self._left = factor, kept, left


def readings_of(network: Network, inputs: Floats) -> tuple[Floats, Flags]:
    """Return the readings of the targets (T, rows, targets) as the forecast layer computes them, and which are there.

    `inputs` are rows of readings (T, rows, in_size).
    """
    assert network.forecast is not None
    assert network.readings is not None
    layer, layout = network.forecast, network.readings.layout
    places = places_of(layout, [target.name for target in layer.targets], session_scale=layer.session_scale)
    assert places is not None
    encoded = network.readings.encode(inputs)
    present = encoded[..., [len(layout.carried) + place for place in places]] > 0
    if layer.session_scale:
        kept = layer.scale_in(layout)
        assert kept is not None
        return kept.units * encoded[..., places], present
    scale, shift = (each[: len(layer.targets)] for each in layer.scales)
    return scale * encoded[..., places] + shift, present
