"""The sizes of networks whose sessions learn, and the view of their blocks."""

from dataclasses import dataclass

from cellar.engine import Floats
from cellar.nn.learning.layout import COUNT_BASE, ReadoutLayout
from cellar.nn.learning.spec import Learning
from cellar.nn.model.layer import Layer
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.network import Network, NetworkState
from cellar.nn.readings.readings import Readings
from cellar.nn.readings.rows import RowReader


@dataclass(frozen=True, slots=True)
class LearningSizes:
    """The sizes of a network with the blocks of its sessions."""

    network: Network
    layout: ReadoutLayout
    in_size: int
    out_size: int
    state_size: int
    states: tuple[NetworkState, ...]
    row_numbers: int
    takes_ids: bool
    whole_sequences: bool = False
    bits_promised: bool = True

    @classmethod
    def of(cls, network: Network, layout: ReadoutLayout) -> "LearningSizes":
        """Return the sizes of a network whose sessions have blocks of this layout."""
        states = (*network.states, *layout.states())
        sizes = network.in_size, network.out_size, layout.state_size, states
        return cls(network, layout, *sizes, network.row_numbers + layout.place_size, network.takes_ids)

    @property
    def forecast(self) -> ForecastSpec | None:
        """The forecast layer of the network, None without one."""
        return self.network.forecast

    @property
    def readings(self) -> Readings | None:
        """The readings whose rows are the input, None without any."""
        return self.network.readings

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the network."""
        return self.network.layers

    @property
    def row_reader(self) -> RowReader | None:
        """Reads rows of readings; None if inputs are plain numbers."""
        return self.network.row_reader

    def check_inputs(self, inputs: Floats, pointer: str = "") -> None:
        """Raise IdUnknown if an embedding does not know an id."""
        self.network.check_inputs(inputs, pointer)

    def check_states(self, states: Floats, pointer: str = "") -> None:
        """Raise InvalidInput for a block that cannot be one."""
        self.layout.check(states, pointer)


@dataclass(frozen=True, slots=True)
class Learnt:
    """The weights that a session has learnt, and its errors."""

    learning: Learning
    block: Floats
    window: Floats
    """(window, place_size)"""
    delta: Floats
    """(outputs, weights)"""

    @property
    def updates(self) -> int:
        """The number of targets that were learnt."""
        return int(self.block[2]) + COUNT_BASE * int(self.block[3])

    @property
    def text(self) -> str:
        """The learning of the session, as its metadata have it."""
        return self.learning.text

    @property
    def outputs(self) -> int:
        """The numbers of a target."""
        return self.learning.outputs

    @property
    def filled(self) -> int:
        """The number of steps in the window."""
        return int(self.block[1])

    def losses(self) -> tuple[float, float] | None:
        """Return the mean squared errors of the base version and of the answers; None before the first target."""
        return (float(self.block[5]), float(self.block[6])) if self.updates else None

    def target(self, ago: int) -> Floats | None:
        """Return the target (outputs,) of a step in the window that was given, else None."""
        place = self.window[(int(self.block[0]) - ago) % len(self.window)]
        return place[-1 - self.learning.outputs : -1] if place[-1] else None
