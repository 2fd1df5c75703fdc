"""What sessions need of a model, no more: a network that runs, the places of its states, and its version.

`cellar.registry.LoadedModel` and `cellar.nn` fit these Protocols. Nothing here knows layers, weights or kernels, so the
tests of this room can count steps exactly with a network of three integers.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Protocol

from numpy import int32
from numpy.typing import NDArray

from cellar.ports import ModelVersion
from cellar.sessions.values.results import Floats, Mask


class StatePlace(Protocol):
    """One named state of one layer: `size` floats at `offset` in a row of the network's state."""

    @property
    def layer(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def cell(self) -> str:
        """What the cell of the layer is called."""
        ...


class Sizes(Protocol):
    """The sizes of a network, in floats a row, and its states in order."""

    @property
    def in_size(self) -> int: ...
    @property
    def out_size(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def states(self) -> Sequence[StatePlace]: ...
    @property
    def whole_sequences(self) -> bool:
        """Whether every call is a sequence from its beginning to its end, which is not to be cut."""
        ...

    @property
    def row_numbers(self) -> int:
        """About how many numbers a step of one row makes on its way."""
        ...

    @property
    def takes_ids(self) -> bool:
        """Whether inputs are ids, which have to be known; else they are any numbers."""
        ...

    def check_inputs(self, inputs: Floats) -> None:
        """Raise IdUnknown for inputs (T, rows, in_size) that the network has nothing for."""
        ...


class Run(Protocol):
    """What T steps of B rows came to: outputs (T, B, out_size), state (B, state_size), bad_step and bad_kind (B,),
    or None where no row has a fault."""

    @property
    def outputs(self) -> Floats: ...
    @property
    def state(self) -> Floats: ...
    @property
    def bad_step(self) -> NDArray[int32] | None: ...
    @property
    def bad_kind(self) -> NDArray[int32] | None: ...


class Network(Protocol):
    """A network with weights. Rows are independent: a row's bits never depend on who shares the call."""

    @property
    def network(self) -> Sizes:
        """What it is, its weights apart."""
        ...

    def initial_state(self, rows: int) -> Floats:
        """Return the state (rows, state_size) that a session begins with."""
        ...

    def run(
        self,
        inputs: Floats,
        state: tuple[bytes, ...],
        lengths: NDArray[int32] | None = None,
        *,
        reset: Mask | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Step T times: inputs (T, B, in_size), state as the records of sessions, lengths (B,). Changes no argument.

        Records are float32, little endian, (rows, state_size) each, B rows in all. Rows under the mask `reset` (B,)
        begin with the initial state instead. Wide batches may use threads of the executor.
        """
        ...

    @property
    def flops(self) -> int:
        """How many operations a step of a row takes."""
        ...


class Model(Protocol):
    """A version that is ready to run."""

    @property
    def version(self) -> ModelVersion: ...
    @property
    def network(self) -> Network: ...
    @property
    def size_bytes(self) -> int: ...
