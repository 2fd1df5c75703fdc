"""How surprising readings are: their distance from the forecast for them, in half widths of its interval of 80%."""

import numpy as np

from cellar.engine import Floats
from cellar.nn.forecasting.heads import central, quantiles
from cellar.nn.forecasting.rollout import read_targets
from cellar.nn.model.network import Network

INTERVAL = np.array([0.1, 0.9])
"""The quantiles at the ends of the interval."""


class Scorer:
    """Scores the inputs of a network that are targets of its forecast layer."""

    def __init__(self, network: Network) -> None:
        """Raise InvalidInput if it is not known which inputs are targets."""
        assert network.forecast is not None
        self._layer, self._state_size = network.forecast, network.state_size
        self._inputs = read_targets(network, self._layer)
        self._place = next(each for each in reversed(network.states) if each.name == "last")

    @classmethod
    def of(cls, network: Network) -> "Scorer | None":
        """Return the scorer of a network, None if it forecasts none of its inputs with an interval."""
        layer = network.forecast
        if layer is None or network.whole_sequences or not layer.has_spread:
            return None
        return cls(network) if read_targets(network, layer) else None

    def last(self, state: bytes, rows: int) -> Floats:
        """Return the last outputs (rows, out_size) in the state of a session, 0 before its first step."""
        place = self._place
        values = np.frombuffer(state, "<f4").reshape(rows, self._state_size)
        return values[:, place.offset : place.offset + place.size]

    def score(self, inputs: Floats, before: Floats) -> Floats:
        """Return scores (T, rows, targets) of inputs (T, rows, in_size); NaN: no score.

        `before` (T, rows, out_size) are the outputs of the step before each. There is no score without a reading,
        without a forecast (all outputs 0), or if the interval has no width.
        """
        readings = np.full((*inputs.shape[:2], len(self._layer.targets)), np.nan)
        for target, number in self._inputs.items():
            readings[..., target] = inputs[..., number]
        readings[~before.any(axis=-1)] = np.nan
        before = np.nan_to_num(before)
        ends = quantiles(self._layer, before, INTERVAL)[..., 0, :, :]
        half = (ends[..., 1] - ends[..., 0]) / 2
        with np.errstate(all="ignore"):
            found = (np.abs(readings - central(self._layer, before)[..., 0, :]) / half).astype(np.float32)
        return np.where(np.isfinite(found), found, np.float32(np.nan))
