"""The scale of targets that sessions keep: in states, and step by step as the cells of the readings compute it.

The scales between the steps of one call are in no state that the call answers. Here they are computed again from its
inputs, with the operations of `nn.readings.cells` in float32: they have the same bits.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.model.network import Network
from cellar.nn.model.session_scale import SessionScale
from cellar.nn.readings.cells import SCALES_PART, relative_of
from cellar.nn.readings.layout import Layout

Flags = NDArray[np.bool_]

ONE = np.float32(1)

NAMES = ("count", "level", "centre", "spread", "known", "own", "middle")
"""The states of the cell of the scales."""


def state_of(network: Network, state: Floats, name: str, layer: int) -> Floats:
    """Return a state (rows, size) of the layer with that number in states (rows, state_size)."""
    place = next(each for each in network.states if each.layer == layer and each.name == name)
    return state[:, place.offset : place.offset + place.size]


def scales_of(network: Network, state: Floats) -> Floats | None:
    """Return the scales (rows, targets) of the last forecast in states (rows, state_size); None without any."""
    if network.forecast is None or not network.forecast.session_scale:
        return None
    return state_of(network, state, "scale", network.layers[-1].number)


def shifts_of(network: Network, state: Floats) -> Floats:
    """Return the shifts (rows, targets) that sessions have, in states (rows, state_size)."""
    assert network.forecast is not None
    assert network.readings is not None
    scale = network.forecast.scale_in(network.readings.layout)
    assert scale is not None
    known, middle, centre = (
        state_of(network, state, f"{SCALES_PART}_{name}", 0)[:, [*scale.columns]]
        for name in ("known", "middle", "centre")
    )
    found: Floats = scale.units * (known * middle + (ONE - known) * centre)
    return found


class RunningScales:
    """The scales of the targets of some rows, which steps move."""

    def __init__(self, layout: Layout, scale: SessionScale, states: dict[str, Floats]) -> None:
        """`states` (rows, columns) are those of the cell, by name."""
        self._layout, self._scale, self._states = layout, scale, states
        self._at = [index for index, each in enumerate(layout.carried) if layout.part(each.column) == "scaled"]
        self._relative = np.array([relative_of(column) for _, column in layout.scaled], np.float32)
        self._of_series = np.array([column.per_series for _, column in layout.scaled], np.float32)

    @classmethod
    def of(cls, network: Network, state: Floats) -> Self | None:
        """Return the scales in states (rows, state_size); None if sessions keep none."""
        if network.forecast is None or not network.forecast.session_scale:
            return None
        assert network.readings is not None
        layout = network.readings.layout
        scale = network.forecast.scale_in(layout)
        assert scale is not None
        return cls(layout, scale, {name: state_of(network, state, f"{SCALES_PART}_{name}", 0).copy() for name in NAMES})

    def begin_again(self, rows: Flags) -> None:
        """Set these rows to the state of a new session."""
        for values in self._states.values():
            values[rows] = 0

    def step(self, encoded: Floats, rows: Flags | None = None) -> Floats:
        """Take the encoded readings (rows, encoded_size) of a step; return the scales (rows, targets) after it.

        Only `rows` are moved.
        """
        old, layout = self._states, self._layout
        first, count = 2 * len(layout.carried) + len(layout.plain), len(layout.scaled)
        v, p = encoded[:, self._at], encoded[:, [len(layout.carried) + at for at in self._at]]
        g = k = s = c = np.zeros_like(v)
        if layout.scale_numbers:
            c, s = (self._of_series * encoded[:, first + at : first + at + count] for at in (0, count))
            g, k = (self._of_series * encoded[:, first + at : first + at + 1] for at in (2 * count, 2 * count + 1))
        new = {"count": old["count"] + p}
        among, d = np.maximum(new["count"], ONE), v - old["centre"]
        new["centre"] = _kept(old["centre"] + p * d / among)
        new["spread"] = _kept(old["spread"] + p * d * (v - new["centre"]))
        new["level"] = _kept(old["level"] + p * (np.abs(v) - old["level"]) / among)
        for name, value in (("known", k), ("own", s), ("middle", c)):
            new[name] = _kept(g * value + (ONE - g) * old[name])
        if rows is not None:
            new = {name: np.where(rows[:, None], value, old[name]) for name, value in new.items()}
            among = np.maximum(new["count"], ONE)
        self._states = new
        expected = self._relative * new["level"]
        deviation = np.sqrt(np.maximum((new["spread"] + expected * expected) / among, np.float32(1e-18)))
        found = new["known"] * new["own"] + (ONE - new["known"]) * deviation
        scales: Floats = self._scale.units * found[:, [*self._scale.columns]]
        return scales


def _kept(values: Floats) -> Floats:
    """Return a state as it is written: magnitudes below 2^-63 are 0."""
    found: Floats = np.where(np.abs(values) < np.float32(2.0**-63), np.float32(0), values)
    return found
