"""The trained layers of a forecast: an LSTM whose output is added to the last reading of the target.

::

    features ─ dense ─┬───────────────────────────┬─ + ─ dense ─ forecast (scaled)
                      └─ dense ─ lstm ─ dense ────┘

The first dense layer repeats the last readings, once for each number of the forecast, and appends the features; the
second passes on the features that the LSTM reads, and the last one drops them. These three are zeros and ones, and -1
for changes that are subtracted, and stay as they are. So a network whose LSTM adds nothing repeats the last value, or
that of a period before, and the LSTM learns how the future differs. If inputs are known in advance the last one is
trained too: what they change is added to the forecast of their step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.nn.model.network import Network

Floats = NDArray[np.float32]

FROZEN = ("0", "1", "4")
"""The layers whose weights take and copy numbers: zeros, ones, and -1 for changes that are subtracted."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """The layers after the readings, for a number of features."""

    features: int
    read: tuple[int, ...]
    """The features that the LSTM reads."""
    base: tuple[int, ...]
    """The features to which the forecast of each target is added: its scaled reading."""
    horizon: int
    hidden_size: int
    cell: str = "lstm"
    changes: tuple[int, ...] = ()
    """For each output the feature that is subtracted from the reading, -1 for none: the change against the value of a
    period before, so that the forecast is added to that value; empty: to the last reading."""

    @property
    def why(self) -> str:
        """The reason for these layers, as a sentence."""
        begin = "the value of a period before" if self.changes else "the last reading"
        return f"A recurrent layer whose output is added to {begin}, so that it learns how the future differs from it."

    @property
    def out_size(self) -> int:
        """The numbers of a forecast: [horizon, target]."""
        return self.horizon * len(self.base)

    @property
    def layers(self) -> list[dict[str, object]]:
        """The layers as JSON."""
        width = self.out_size + len(self.read)

        def dense(size: int) -> dict[str, object]:
            """Return a layer without a bias."""
            return {"type": "dense", "out_size": size, "bias": False}

        added = {"type": "dense", "out_size": width}
        recurrent = {"type": "recurrent", "cell": self.cell, "hidden_size": self.hidden_size}
        learnt = [dense(len(self.read)), recurrent, added]
        return [dense(width), {"type": "residual", "layers": learnt}, dense(self.out_size)]

    def weights(self, network: Network, seed: int) -> Mapping[str, Floats]:
        """Return the weights at the begin of the training, for the network of these layers."""
        count, out = len(self.read), self.out_size
        weights = dict(network.init(seed))
        place = np.zeros((out + count, self.features), np.float32)
        place[np.arange(out), np.tile(self.base, self.horizon)] = 1
        for output, change in enumerate(self.changes):
            if change >= 0:
                place[output, change] = -1
        place[out + np.arange(count), self.read] = 1
        select = np.zeros((count, out + count), np.float32)
        select[np.arange(count), out + np.arange(count)] = 1
        drop = np.zeros((out, out + count), np.float32)
        drop[np.arange(out), np.arange(out)] = 1
        return weights | {"0.W": place, "1.W": select, "4.W": drop}


def is_last_value(weights: Mapping[str, Floats]) -> bool:
    """Return whether these weights add nothing to the last value."""
    return not weights["3.W"].any() and not weights["3.b"].any()


def numbered(names: Sequence[str], before: int) -> list[str]:
    """Return the names of layers or parameters in a network with some layers before them: "4.W", 1 is "5.W"."""
    split = (name.partition(".") for name in names)
    return [f"{int(number) + before}{dot}{rest}" for number, dot, rest in split]
