"""The readings of a network: how its input is read, checked and encoded."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cellar.nn.readings.encoder import Encoder
from cellar.nn.readings.layout import Layout
from cellar.nn.readings.rows import RowReader

Floats = NDArray[np.float32]


class Readings:
    """The first stage of a network whose input are rows of readings. It holds no weights."""

    def __init__(self, layout: Layout, features: tuple[str, ...]) -> None:
        self.layout = layout
        self.features = features
        """The names of the numbers that the next layer reads."""

    @cached_property
    def encode(self) -> Encoder:
        """Encodes rows (T, B, width)."""
        return Encoder(self.layout)

    @cached_property
    def reader(self) -> RowReader:
        """Reads rows as clients send them."""
        return RowReader(self.layout)
